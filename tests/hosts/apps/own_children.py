"""Children that set up by themselves; their parent does not."""

import multiprocessing
import sys


def ask(question: str) -> None:
    """Ask, with what this process sets up."""
    import shop  # noqa: PLC0415 -- not before the fork

    shop.ask(question)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    children = [
        context.Process(target=ask, args=(str(number),))
        for number in range(int(sys.argv[2]))
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
