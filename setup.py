"Everything that describes the package stands in settings.ini; this file only hands it to setuptools."
from configparser import ConfigParser
from pathlib import Path
from shlex import split
from setuptools import setup

root = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(root/"settings.ini", encoding="utf-8")
settings = config["DEFAULT"]

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(root/"README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=settings["keywords"],
    author=settings["author"],
    author_email=settings["author_email"],
    url=settings["git_url"],
    license_expression="Apache-2.0",
    packages=[settings["lib_path"]],
    package_data={settings["lib_path"]: ["*.json", "*.pyi", "py.typed", "models/*"]},
    python_requires=">=" + settings["min_python"],
    install_requires=split(settings["requirements"]),
    extras_require={extra: split(settings[f"{extra}_requirements"]) for extra in ("dev", "docs", "export", "hub", "track", "app", "dist")},
    entry_points={
        "console_scripts": split(settings["console_scripts"]),
        "nbdev": [f"{settings['lib_path']}={settings['lib_path']}._modidx:d"],
    },
    classifiers=["Programming Language :: Python :: 3", "Framework :: Jupyter", "Intended Audience :: Education",
                 "Intended Audience :: Science/Research", "Topic :: Scientific/Engineering :: Image Recognition"],
    zip_safe=False,
)
