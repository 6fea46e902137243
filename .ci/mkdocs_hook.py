"""A mkdocs hook that replaces links out of ``docs/`` with file names.

https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with file names instead of links to files outside the site.

    Args:
        markdown: The page.

    Raises:
        FileNotFoundError: The target of a link does not exist.
    """

    def named(found: re.Match[str]) -> str:
        path = (_ROOT / "docs" / found[2]).resolve()
        if not path.exists():
            raise FileNotFoundError(path)
        name = str(path.relative_to(_ROOT))
        text = found[1].strip("`")
        return f"`{name}`" if text in name else f"{found[1]} (`{name}`)"

    return _OUTSIDE.sub(named, markdown)
