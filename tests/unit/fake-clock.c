/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-clock.h"

#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* These names are found before the C library's, by libsystemd too. A timer that is due is set to go off at once, any
 * other is off. */

#define START_USEC (1000 * USEC_PER_SEC)
#define WALL_USEC (1700000000 * USEC_PER_SEC)
#define FD_MAX 1024

static usec_t now = START_USEC;
static usec_t due[FD_MAX]; /* 0: not set */
static bool is_wall[FD_MAX];

static usec_t offset(bool wall) {
        return wall ? WALL_USEC : 0;
}

static void set_off(int fd, bool on) {
        struct itimerspec value = { .it_value.tv_nsec = on ? 1 : 0 };

        (void) syscall(SYS_timerfd_settime, fd, 0, &value, NULL);
}

void fake_clock_pass(usec_t usec) {
        now += usec;
        for (int fd = 0; fd < FD_MAX; fd++)
                if (due[fd] != 0 && due[fd] <= now + offset(is_wall[fd]))
                        set_off(fd, true);
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
        usec_t t = now + offset(clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE);

        if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
                return (int) syscall(SYS_clock_gettime, clock, ret);
        ret->tv_sec = (time_t) (t / USEC_PER_SEC);
        ret->tv_nsec = (long) (t % USEC_PER_SEC * 1000);
        return 0;
}

int timerfd_create(clockid_t clock, int flags) {
        int fd = (int) syscall(SYS_timerfd_create, clock, flags);

        if (fd >= 0 && fd < FD_MAX) {
                due[fd] = 0;
                is_wall[fd] = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
        }
        return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old) {
        usec_t t = (usec_t) value->it_value.tv_sec * USEC_PER_SEC + (usec_t) value->it_value.tv_nsec / 1000;

        if (old)
                memset(old, 0, sizeof *old);
        if (fd < 0 || fd >= FD_MAX)
                return (int) syscall(SYS_timerfd_settime, fd, flags, value, old);
        if (t != 0 && !(flags & TFD_TIMER_ABSTIME))
                t += now + offset(is_wall[fd]);
        due[fd] = value->it_value.tv_sec == 0 && value->it_value.tv_nsec == 0 ? 0 : t == 0 ? 1 : t;
        set_off(fd, due[fd] != 0 && due[fd] <= now + offset(is_wall[fd]));
        return 0;
}
