"""A Slurm of one node, on this machine, for as long as a test lasts.

Needs Debian's packages `slurm-wlm` and `munge`. Every daemon has its folders, sockets and ports to itself, so
that a Slurm of the machine's own is neither used nor disturbed. Run as a program, it starts a cluster, prints the
setting that commands need, and stops with Ctrl-C:

    python tests/benchmark/slurm/one_node.py /tmp/slurm
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol", "scancel")
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
START_TIMEOUT_S = 60.0

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_res
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=2
MinJobAge=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Names of the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start munge, the controller and one node below `folder`; yield the environment that commands need.

    Raises:
        RuntimeError: A daemon ended, or the node was not ready in time; the logs' ends are in the message.
    """
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True, mode=0o700)
    (folder / "munge").chmod(0o711)  # munged refuses a socket's folder that its clients cannot enter
    key = folder / "munge/key"
    key.write_bytes(secrets.token_bytes(64))
    key.chmod(0o400)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            folder=folder,
            controller_port=_free_port(),
            node_port=_free_port(),
            cpus=os.cpu_count() or 1,
            memory_mb=1024,
        )
    )
    environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": SEARCH_PATH}
    munge = ["munged", "--foreground", "--force", "--num-threads=1", f"--key-file={key}"]
    munge += [f"--{name}-file={folder}/munge/{name}" for name in ("log", "pid", "seed")]
    with ExitStack() as stack:
        for name, command in (
            ("munged", [*munge, f"--socket={folder}/munge/socket"]),
            ("slurmctld", ["slurmctld", "-D", "-i"]),
            ("slurmd", ["slurmd", "-D"]),
        ):
            stack.enter_context(_daemon(name, command, environment, folder / f"{name}.out"))
            if name == "munged":
                _wait(lambda: (folder / "munge/socket").exists(), "munged", folder)
        _wait(lambda: "idle" in _output(["sinfo", "-h", "-o", "%T"], environment), "the node", folder)
        try:
            yield environment
        finally:
            _output(["scancel", f"--user={getpass.getuser()}"], environment)
            _wait(lambda: not _output(["squeue", "-h"], environment), "the queue's end", folder)


@contextmanager
def _daemon(name: str, command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with open(log, "wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(ready, what: str, folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if time.monotonic() > deadline:
            logs = sorted([*folder.glob("*.log"), *folder.glob("*.out"), *folder.glob("munge/log")])
            ends = "\n".join(f"{log}:\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
            raise RuntimeError(f"{what} was not ready after {START_TIMEOUT_S:.0f} s\n{ends}")
        time.sleep(0.2)


def _output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    with one_node_slurm(Path(sys.argv[1])) as settings:
        sys.stdout.write(f"export SLURM_CONF={settings['SLURM_CONF']}\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
