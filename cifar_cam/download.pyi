# Written by nbs/_tools/stubs.py; do not edit.
from pathlib import Path

__all__ = ['sync_folder', 'write_atomic', 'sha256_file', 'plain', 'DownloadError', 'download', 'cache_dir', 'archive_members', 'archive_names', 'read_cifar_pickle']


class DownloadError(OSError):
    ...


def sync_folder(path: Path | str) -> None:
    ...


def write_atomic(path: Path | str, data: bytes) -> Path:
    ...


def sha256_file(path: Path | str) -> str:
    ...


def plain(text) -> str:
    ...


def download(urls, path: Path | str, sha256: str | None=..., size: int | None=..., timeout: float=..., minimum_speed: float=..., patience: float=..., rounds: int=..., progress: bool | None=..., nearby: tuple=...) -> Path:
    ...


def cache_dir() -> Path:
    ...


def archive_members(path: Path | str, names, max_bytes: int=...) -> dict:
    ...


def archive_names(path: Path | str) -> list:
    ...


def read_cifar_pickle(data: bytes) -> dict:
    ...
