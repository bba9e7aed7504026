"Train an image classifier on CIFAR-10 in a notebook and see why it decides as it does. Every module is there by name: `cifar_cam.gradcam.explain`."
__version__ = "0.1.0"


def __getattr__(name):
    "A module of the package, imported when it is first asked for."
    if name.startswith("_") or name not in __dir__():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib
    return importlib.import_module(f"{__name__}.{name}")


def __dir__():
    "The names here and the modules, without importing any."
    import pkgutil
    return sorted({*globals(), *(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))})
