"""`pytest --processes N`: runs the tests in processes that are forked once they are collected.

To collect them takes as long as a hundred tests. With pytest-xdist, each process collects them.
"""

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from _pytest.reports import TestReport
from _pytest.runner import CallInfo

STOP_SECONDS = 60
NUMBER_BYTES = 2

Unit = Sequence[pytest.Item]


def file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def units_of(items: Iterable[pytest.Item], groups: Mapping[str, str]) -> list[Unit]:
    """What one process runs without interruption: the tests of a file, or of the files of a group,
    in the order in which the first test of each comes."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        file = file_of(item)
        units.setdefault(groups.get(file, file), []).append(item)
    return list(units.values())


class Queue:
    """The numbers of the units that no process has taken."""

    def __init__(self, count: int) -> None:
        # The kernel gives each of several readers other bytes.
        self._reader, writer = os.pipe()
        numbers = b"".join(number.to_bytes(NUMBER_BYTES, "big") for number in range(count))
        assert os.write(writer, numbers) == len(numbers), "more units than a pipe holds"
        os.close(writer)

    def __iter__(self) -> Iterator[int]:
        while number := os.read(self._reader, NUMBER_BYTES):
            yield int.from_bytes(number, "big")

    def clear(self) -> None:
        for _ in self:
            pass

    def close(self) -> None:
        os.close(self._reader)


class Reporter:
    """Sends what a process reports to the first one, which prints it."""

    def __init__(self, config: pytest.Config, sender: "Connection[Any, Any]") -> None:
        self._config = config
        self._sender = sender

    def _send(self, hook: str, **values: Any) -> None:
        self._sender.send((hook, values))

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._send("pytest_runtest_logstart", nodeid=nodeid, location=location)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self._send("pytest_runtest_logfinish", nodeid=nodeid, location=location)

    def pytest_runtest_logreport(self, report: TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._send("pytest_runtest_logreport", report=data)


def work(
    number: int,
    session: pytest.Session,
    units: Sequence[Unit],
    queue: Queue,
    sender: "Connection[Any, Any]",
) -> None:
    """Runs units until none is left. This is the main function of a forked process."""
    config = session.config
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(Reporter(config, sender))
    capture = config.pluginmanager.getplugin("capturemanager")
    assert capture
    # Otherwise, all processes would capture into one file.
    capture.stop_global_capturing()
    capture.start_global_capturing()
    folders = config._tmp_path_factory  # type: ignore[attr-defined]
    folders._basetemp = folders.getbasetemp() / str(number)
    folders._basetemp.mkdir(mode=0o700)
    last = None
    for unit in (units[index] for index in queue):
        # What belongs to the session stays until the end, and nothing else after a unit.
        for item, following in zip(unit, [*unit[1:], session], strict=True):
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            last = item
            if session.shouldfail or session.shouldstop:
                queue.clear()
                break
    if last:
        end = CallInfo.from_call(lambda: session._setupstate.teardown_exact(None), "teardown")
        if end.excinfo:
            config.hook.pytest_runtest_logreport(report=TestReport.from_item_and_call(last, end))


@dataclass
class Worker:
    process: BaseProcess
    reports: "Connection[Any, Any]"
    running: str = ""


class Processes:
    """The plugin. `groups`: the files that belong together, each with the name of its group."""

    def __init__(self, count: int, groups: Mapping[str, str]) -> None:
        self._count = count
        self._groups = groups

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed or session.config.option.collectonly:
            return None  # pytest itself says what is wrong
        units = units_of(session.items, self._groups)
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        queue = Queue(len(units))
        workers = [start(number, session, units, queue) for number in range(self._count)]
        try:
            self._follow(session, workers, queue)
        finally:
            queue.clear()
            for worker in workers:
                worker.process.join(STOP_SECONDS)
                worker.process.kill()
            queue.close()
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        return True

    def _follow(self, session: pytest.Session, workers: Sequence[Worker], queue: Queue) -> None:
        """Repeats the reports of all processes until they end."""
        left = {worker.reports: worker for worker in workers}
        while left:
            for ready in wait(list(left)):
                worker = left[ready]  # type: ignore[index]
                try:
                    hook, values = worker.reports.recv()
                except EOFError:
                    del left[worker.reports]
                    check_end(session, worker)
                else:
                    repeat(session, worker, hook, values)
            if session.shouldfail or session.shouldstop:
                queue.clear()


def start(number: int, session: pytest.Session, units: Sequence[Unit], queue: Queue) -> Worker:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(number, session, units, queue, sender))
    process.start()
    sender.close()
    return Worker(process, receiver)


def repeat(session: pytest.Session, worker: Worker, hook: str, values: dict[str, Any]) -> None:
    config = session.config
    if hook == "pytest_runtest_logreport":
        data = values["report"]
        values = {"report": config.hook.pytest_report_from_serializable(config=config, data=data)}
    else:
        worker.running = values["nodeid"] if hook == "pytest_runtest_logstart" else ""
    getattr(config.hook, hook)(**values)


def check_end(session: pytest.Session, worker: Worker) -> None:
    """Fails the test in which a process ended."""
    worker.process.join(STOP_SECONDS)
    code = worker.process.exitcode
    if code == 0 and not worker.running:
        return
    why = f"the process of the tests ended with {code}; the rest of the file has not run"
    where = (worker.running.partition("::")[0] or "between tests", None, worker.running)
    report = TestReport(worker.running, where, {}, "failed", why, "call")
    session.config.hook.pytest_runtest_logreport(report=report)
