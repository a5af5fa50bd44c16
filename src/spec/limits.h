/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* What one sandbox may use. Goes over the spawner's socket as it is. */
typedef struct Limits {
        uint64_t memory;    /* bytes: cgroup memory.max, swap is always 0 */
        uint64_t disk;      /* bytes of /home/sandboxuser, /tmp and /dev/shm together */
        uint32_t cpu_quota; /* microseconds of CPU time for each 100 ms */
        uint32_t pids;      /* tasks, threads included */
} Limits;

/* Bounds of each, also for configuration: below, a sandbox cannot live. */
#define LIMIT_MEMORY_MIN (8 * MIB)
#define LIMIT_MEMORY_MAX (UINT64_C(1) << 46)
#define LIMIT_DISK_MIN (1 * MIB)
#define LIMIT_DISK_MAX (UINT64_C(1) << 46)
#define LIMIT_CPU_QUOTA_MIN 1000U
#define LIMIT_CPU_QUOTA_MAX 102400000U /* 1,024 processors */
#define LIMIT_PIDS_MIN 4U
#define LIMIT_PIDS_MAX 65536U

#define CPU_PERIOD_USEC 100000U

/* The size of a sandbox's files. Files that fill the memory limit, where that @is_counted for all of it, cannot be
 * removed any more: every command, rm(1) too, would be killed. */
static inline uint64_t limits_files(const Limits *l, bool is_counted) {
        return is_counted ? MIN(l->disk, l->memory / 8 * 7) : l->disk;
}
