"""What mkdocs needs beside the pages: links that leave ``docs/`` become file names.

https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page that names files of the repository, which the site does not have.

    Args:
        markdown: The page.

    Raises:
        FileNotFoundError: A link leads to a file that is not there.
    """

    def named(found: re.Match[str]) -> str:
        path = (_ROOT / "docs" / found[2]).resolve()
        if not path.exists():
            raise FileNotFoundError(path)
        name = str(path.relative_to(_ROOT))
        text = found[1].strip("`")
        return f"`{name}`" if text in name else f"{found[1]} (`{name}`)"

    return _OUTSIDE.sub(named, markdown)
