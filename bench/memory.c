/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define CALM_SECONDS_MAX 20
#define CALM_KB 256
#define MEMORY_STEPS 5

/* The number after @name in a file of "name: number kB" lines, in kB; -1 when it cannot be read. */
static double read_kb(const char *path, const char *name) {
        FILE *f = fopen(path, "re");
        size_t length = strlen(name);
        double value = -1;
        char line[256];

        while (f && fgets(line, sizeof line, f))
                if (strncmp(line, name, length) == 0 && line[length] == ':')
                        value = strtod(line + length + 1, NULL);
        if (f)
                (void) fclose(f);
        return value;
}

static double process_kb(pid_t pid, const char *file, const char *name) {
        char path[64];

        (void) snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, file);
        return read_kb(path, name);
}

/* Calls @each for the children of a process. Returns how many there are. */
static unsigned for_children(pid_t parent, void (*each)(pid_t child, void *userdata), void *userdata) {
        DIR *dir = opendir("/proc");
        struct dirent *entry;
        unsigned n = 0;

        if (!dir)
                err(EXIT_FAILURE, "/proc");
        while ((entry = readdir(dir))) {
                pid_t pid = (pid_t) strtol(entry->d_name, NULL, 10);
                if (pid <= 0 || (pid_t) process_kb(pid, "status", "PPid") != parent)
                        continue;
                n++;
                each(pid, userdata);
        }
        (void) closedir(dir);
        return n;
}

static void take_pid(pid_t child, void *userdata) {
        *(pid_t *) userdata = child;
}

static void add_pss(pid_t child, void *userdata) {
        double pss = process_kb(child, "smaps_rollup", "Pss");

        if (pss >= 0)
                sample_add(userdata, pss);
}

/* Bytes of the kernel's objects that are in use. Better than the sum of /proc/meminfo, where pages with room left are
 * counted whole: a sandbox that is made may fill such. Needs root. */
static double read_slab_kb(void) {
        FILE *f = fopen("/proc/slabinfo", "re");
        double sum = 0;
        char line[512];

        if (!f)
                return read_kb("/proc/meminfo", "Slab");
        while (fgets(line, sizeof line, f)) {
                unsigned long active, all, size;
                if (sscanf(line, "%*s %lu %lu %lu", &active, &all, &size) == 3)
                        sum += (double) active * (double) size / 1024;
        }
        (void) fclose(f);
        return sum;
}

/* VmallocUsed holds seccomp's programs, and the kernel stacks once more. */
enum { SLAB, KERNEL_STACK, PAGE_TABLES, PERCPU, SHMEM, VMALLOC, KERNEL_PARTS };
static const char *const kernel_parts[] = { "Slab", "KernelStack", "PageTables", "Percpu", "Shmem", "VmallocUsed" };

/* What is only remembered, like names that were looked up once, the kernel gives back whenever somebody needs memory. */
static void drop_caches(void) {
        FILE *f = fopen("/proc/sys/vm/drop_caches", "we");

        if (f) {
                (void) fputs("2\n", f);
                (void) fclose(f);
        }
}

/* The kernel frees namespaces and the like in the background: waits until it has nothing more to do. */
static void wait_calm(void) {
        double before = read_slab_kb(), now;

        for (unsigned i = 0; i < CALM_SECONDS_MAX; i++) {
                (void) sleep(1);
                now = read_slab_kb();
                if (fabs(now - before) < CALM_KB)
                        break;
                before = now;
        }
}

static void read_kernel(double kb[static KERNEL_PARTS]) {
        drop_caches();
        wait_calm();
        kb[SLAB] = read_slab_kb();
        for (size_t i = SLAB + 1; i < KERNEL_PARTS; i++)
                kb[i] = MAX(read_kb("/proc/meminfo", kernel_parts[i]), 0.0);
        kb[VMALLOC] -= kb[KERNEL_STACK];
}

/* The worker, the spawner with what holds its descriptors, and the zygote: each the only child of the one before. Then
 * what takes down mounts, which is the only child of the zygote that is no sandbox. */
typedef struct Service {
        pid_t pids[6];
        unsigned n;
        pid_t zygote;
} Service;

static bool is_zygote(pid_t pid) {
        char path[64], name[32] = "";

        (void) snprintf(path, sizeof path, "/proc/%d/comm", (int) pid);
        FILE *f = fopen(path, "re");
        if (!f || !fgets(name, sizeof name, f))
                name[0] = '\0';
        if (f)
                (void) fclose(f);
        return strcmp(name, "sandbox-init\n") == 0;
}

static bool same_namespace(pid_t a, pid_t b) {
        char path[64], name[2][64] = { "" };

        (void) snprintf(path, sizeof path, "/proc/%d/ns/pid", (int) a);
        if (readlink(path, name[0], sizeof name[0] - 1) < 0)
                return false;
        (void) snprintf(path, sizeof path, "/proc/%d/ns/pid", (int) b);
        return readlink(path, name[1], sizeof name[1] - 1) > 0 && strcmp(name[0], name[1]) == 0;
}

static void take_no_sandbox(pid_t child, void *userdata) {
        Service *s = userdata;

        if (same_namespace(child, s->pids[0]) && s->n < ELEMENTSOF(s->pids))
                s->pids[s->n++] = child;
}

static void find_service(const Bench *b, Service *ret) {
        *ret = (Service){ .pids = { b->worker }, .n = 1 };
        while (!is_zygote(ret->pids[ret->n - 1])) {
                if (ret->n == ELEMENTSOF(ret->pids) ||
                        for_children(ret->pids[ret->n - 1], take_pid, &ret->pids[ret->n]) != 1)
                        errx(EXIT_FAILURE, "process %d is not a worker with a spawner and a zygote", (int) b->worker);
                ret->n++;
        }
        ret->zygote = ret->pids[ret->n - 1];
        (void) for_children(ret->zygote, take_no_sandbox, ret);
}

static void report_service(const Service *s, const char *name) {
        double pss = 0, rss = 0;
        char label[64];

        for (unsigned i = 0; i < s->n; i++) {
                double kb = process_kb(s->pids[i], "smaps_rollup", "Pss");
                if (kb < 0) {
                        warnx("the memory of process %d cannot be read: this needs root", (int) s->pids[i]);
                        return;
                }
                pss += kb;
                rss += process_kb(s->pids[i], "smaps_rollup", "Rss");
        }
        (void) snprintf(label, sizeof label, "worker + spawner + zygote, Pss, %s", name);
        report_value(label, pss, "kB", 16384);
        (void) snprintf(label, sizeof label, "worker + spawner + zygote, Rss, %s", name);
        report_value(label, rss, "kB", 0);
}

/* Grows by steps, so that a neighbour's burst spoils one of them and not the figure. Each session is from the pool: those
 * that are made on demand have more memory. */
static void measure_kernel(Bench *b, Herd *h, Sample kb[static KERNEL_PARTS]) {
        double before[KERNEL_PARTS], after[KERNEL_PARTS];
        unsigned step = b->sessions / MEMORY_STEPS;

        read_kernel(before);
        for (unsigned i = 1; i <= MEMORY_STEPS; i++) {
                while (h->n < i * step) {
                        herd_resize(b, h, h->n + 1);
                        pool_wait(&b->client);
                }
                read_kernel(after);
                for (size_t k = 0; k < KERNEL_PARTS; k++)
                        sample_add(&kb[k], (after[k] - before[k]) / step);
                memcpy(before, after, sizeof before);
        }
}

void part_memory(Bench *b) {
        Sample kb[KERNEL_PARTS] = { 0 }, pss = { 0 };
        char label[64];
        Herd herd = { 0 };
        double sum = 0;
        Service service;

        find_service(b, &service);
        (void) printf("\nmemory, %u sandboxes\n", b->sessions);
        pool_wait(&b->client);
        report_service(&service, "idle");
        measure_kernel(b, &herd, kb);
        (void) for_children(service.zygote, add_pss, &pss);

        if (pss.n > 0)
                report_value("a sandbox, Pss of its process 1", sample_quantile(&pss, 0.5), "kB", 60);
        else
                warnx("the memory of sandboxes cannot be read: this needs root");
        for (size_t i = 0; i < KERNEL_PARTS; i++) {
                (void) snprintf(label, sizeof label, "a sandbox, kernel: %s", kernel_parts[i]);
                report_value(label, sample_quantile(&kb[i], 0.5), "kB", 0);
                sum += sample_quantile(&kb[i], 0.5);
                sample_clear(&kb[i]);
        }
        report_value("a sandbox, kernel: sum", sum, "kB", 0);
        if (pss.n > 0)
                report_value("a sandbox, all", sum + sample_quantile(&pss, 0.5), "kB", 400);
        report_service(&service, "with them");
        herd_free(b, &herd);
        sample_clear(&pss);
}
