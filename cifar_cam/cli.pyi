# Written by nbs/_tools/stubs.py; do not edit.
import argparse

__all__ = ['train_command', 'recipes_command', 'lr_find_command', 'evaluate_command', 'report_command', 'explain_command', 'compare_command', 'export_command', 'app_command', 'parser', 'main']


def train_command(options: argparse.Namespace) -> int:
    ...


def recipes_command(options: argparse.Namespace) -> int:
    ...


def lr_find_command(options: argparse.Namespace) -> int:
    ...


def evaluate_command(options: argparse.Namespace) -> int:
    ...


def report_command(options: argparse.Namespace) -> int:
    ...


def explain_command(options: argparse.Namespace) -> int:
    ...


def compare_command(options: argparse.Namespace) -> int:
    ...


def export_command(options: argparse.Namespace) -> int:
    ...


def app_command(options: argparse.Namespace) -> int:
    ...


def parser() -> argparse.ArgumentParser:
    ...


def main(argv: list | None=...) -> int:
    ...
