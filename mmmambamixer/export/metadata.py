"""What an exported file says of itself: plain strings, lists as JSON."""

import hashlib
import json
from collections.abc import Mapping

from mmengine.config import Config

from ..version import __version__


def metadata(task: str, config: Config, facts: Mapping[str, object]) -> dict[str, str]:
    """Return the `metadata_props` of a file.

    Args:
        task: What the network does.
        config: Its digest is told.
        facts: Further ones; lists and numbers become JSON.
    """
    told = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in facts.items()
    }
    producer = f'mmmambamixer {__version__}'
    digest = config_digest(config)
    return dict(task=task, producer=producer, config_sha256=digest, **told)


def config_digest(config: Config) -> str:
    """Return the SHA-256 of what a config says, whatever files say it."""
    said = json.dumps(config.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()
