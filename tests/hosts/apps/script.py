"""A script that asks in itself and in its children, and ends in several ways."""

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import time

import shop


def main(way: str, calls: int) -> None:  # noqa: C901 -- one branch for each way
    """Ask, in one of the ways."""
    shop.ask("first")
    questions = [str(number) for number in range(calls)]
    if way in {"fork", "spawn"}:
        context = multiprocessing.get_context(way)
        children = [context.Process(target=shop.ask, args=(q,)) for q in questions]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
    elif way == "executor":
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            list(pool.map(shop.ask, questions))
    elif way == "os.fork":
        pids = []
        for question in questions:
            pid = os.fork()
            if pid == 0:
                shop.ask(question)
                sys.exit(0)
            pids.append(pid)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
    elif way == "signal":
        print("ready", flush=True)  # noqa: T201
        try:
            time.sleep(90)
        except KeyboardInterrupt:
            sys.exit(130)
    elif way == "freeze":
        # A function's host stops the process as soon as the function has returned.
        assert shop.handler.flush(timeout=60)
        print("ready", flush=True)  # noqa: T201
        os.kill(os.getpid(), signal.SIGSTOP)
        shop.ask("second")
        assert shop.handler.flush(timeout=60)
        print("again", flush=True)  # noqa: T201
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
