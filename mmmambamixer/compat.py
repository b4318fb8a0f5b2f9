"""The first name of `patches`, by which dumped configs of then import it."""

from .patches import SafeRunner, load_local, package_folder, remove

__all__ = ['SafeRunner', 'load_local', 'package_folder', 'remove']
