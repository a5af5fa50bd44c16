/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bare.h"
#include "client.h"
#include "sample.h"

typedef struct Bench {
        const char *tcp, *local; /* addresses of the worker */
        const char *other;       /* of another worker, whose image was imported, or NULL */
        const char *root;        /* the image's files */
        const char *dav;         /* another server that takes and gives files, by TCP, or NULL */
        const char *bundle;      /* of the OCI runtimes, or NULL */
        pid_t worker;            /* its process */
        unsigned rounds;
        unsigned sessions; /* how many of them are alive at once in the measurements of growth and memory */
        double seconds;    /* of each measurement of a rate */
        Client client;     /* by TCP */
        Bare host, image;  /* spawners with the host's root and with the image's */
} Bench;

/* A spec that the pool never holds: such a session is made on demand. */
#define ON_DEMAND "{\"pids_limit\":200}"
#define RUN_TRUE "{\"argv\":[\"/bin/true\"]}"

typedef void Part(Bench *b);
Part part_create, part_ondemand, part_exec, part_growth, part_memory, part_rate, part_files, part_image, part_filter,
        part_streams, part_warm;

/* --- sessions that are just there --- */

typedef struct Herd {
        char (*ids)[SESSION_ID_MAX]; /* owned */
        unsigned n, size;
} Herd;

void herd_resize(Bench *b, Herd *h, unsigned n);
void herd_free(Bench *b, Herd *h);

/* --- the table --- */

void report_title(const char *title, const char *ours, const char *theirs);

/* One line: both medians and p99, the median of the paired ratios with its quartiles, the target. @target: 0 for none;
 * the ratio has to be at most that. */
void report_pair(const char *name, const Pair *p, double target);

/* The same, told as how many times faster ours is; it has to be at least @target. */
void report_faster(const char *name, const Pair *p, double target);

/* A single figure with its unit; @target: 0 for none, most allowed. */
void report_value(const char *name, double value, const char *unit, double target);

/* How much @ours is of @theirs, both rates; it has to be at least @target. */
void report_rate(const char *name, double ours, double theirs, double target);

/* --- other programs that make sandboxes --- */

typedef struct Peer {
        const char *name;
        const char *const *argv; /* makes one, runs /bin/true in it, removes it */
        double target;           /* how many times faster ours has to be, 0: for information */
} Peer;

/* Those that are installed and work here, ended by a row without a name; others are named on standard error. */
const Peer *peers_find(Bench *b);
