/* Loaded into a hub with LD_PRELOAD: writes and syncs of its log fail, and its clock is wrong, as the test says.
 *
 * The control file ($FAULTS) is mapped by every process and by the test. It holds five ints: writes that are
 * still to fail, syncs that are still to fail (-1: all of them), the errno, how many calls have failed, and by
 * how many seconds the wall clock is wrong. The monotonic clock stays right, as it does when an operator or NTP
 * sets the time; libfaketime moves both, and then timers hang. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WRITES, SYNCS, ERRNO, FAILED, SHIFT };

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int *control(void) {
    static int *words;
    const char *path = getenv("FAULTS");
    if (words == NULL && path != NULL) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd >= 0)
            close(fd);
        words = map == MAP_FAILED ? NULL : map;
    }
    return words;
}

static int is_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, "/bus.jsonl") != NULL;
}

/* Whether this call is one of those to fail; counts it off, once over all processes. */
static int fails(int which, int fd) {
    int *words = control();
    if (words == NULL || __atomic_load_n(&words[which], __ATOMIC_SEQ_CST) == 0 || !is_log(fd))
        return 0;
    int left = __atomic_load_n(&words[which], __ATOMIC_SEQ_CST);
    while (left > 0 && !__atomic_compare_exchange_n(&words[which], &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    if (left == 0)
        return 0;
    __atomic_add_fetch(&words[FAILED], 1, __ATOMIC_SEQ_CST);
    errno = words[ERRNO];
    return 1;
}

ssize_t write(int fd, const void *data, size_t size) {
    return fails(WRITES, fd) ? -1 : REAL(write)(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    return fails(WRITES, fd) ? -1 : REAL(pwrite64)(fd, data, size, offset);
}

int fdatasync(int fd) {
    return fails(SYNCS, fd) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd) {
    return fails(SYNCS, fd) ? -1 : REAL(fsync)(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && control() != NULL)
        now->tv_sec += __atomic_load_n(&control()[SHIFT], __ATOMIC_SEQ_CST);
    return result;
}
