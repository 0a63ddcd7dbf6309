"""A wall clock of their own for processes of a test, which sets it as it likes.

Every other clock of theirs is the machine's.

The machine's own clock is everybody's. Debian's libfaketime 0.9.10 is no way round: with the
monotonic clock left alone, each `time.sleep` of Python 3.11 fails under it (its issue 426).
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from support.servers import missing
from support.wait import run_to_end

#: Put before libc: whoever asks for the wall clock is told another time. The difference lies in a
#: mapped file, so that a step reaches all processes at once.
_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *step;

__attribute__((constructor)) static void map_step(void) {
    int fd = open(getenv("WALL_CLOCK"), O_RDONLY | O_CLOEXEC);
    void *found = mmap(NULL, sizeof *step, PROT_READ, MAP_SHARED, fd, 0);
    if (fd < 0 || found == MAP_FAILED) abort();
    step = found;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *step;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec, now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


class WallClock:
    """The wall clock of the processes that are started with its `environment`."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("cc") is None:
            missing("gcc")
        self._step = directory / "wall-clock"
        library = directory / "wall-clock.so"
        arguments = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), "-xc", "-"]
        run_to_end(arguments, input=_SOURCE, check=True)
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self._step)}

    def set(self, ahead: int) -> None:
        """From now on it is so many seconds ahead of the machine's; a negative number: behind."""
        with open(self._step, "r+b" if self._step.exists() else "xb") as file:
            file.write(struct.pack("q", ahead))
