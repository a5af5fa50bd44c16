/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool/pool.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define REFILL_DELAY_USEC USEC_PER_MSEC
#define REFILL_LEISURE_USEC (20 * USEC_PER_MSEC) /* while there are enough: the first command goes first */
#define STARTING_MAX 4U                          /* made side by side */
#define BACKOFF_MIN_USEC (500 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (30 * USEC_PER_SEC)
#define REVIEW_USEC (10 * USEC_PER_SEC)
#define QUIET_USEC (30 * USEC_PER_SEC) /* without demand: back towards the size; the minimum is in the settings */

typedef struct Member {
        Sandbox *sandbox; /* owned */
        Pool *pool;
        bool ready; /* which of the lists it is in */
        TAILQ_ENTRY(Member) entry;
} Member;

typedef TAILQ_HEAD(MemberList, Member) MemberList;

struct Pool {
        Pool *next; /* owned */
        sd_event *event;
        Backend *backend;
        PoolSettings settings;
        PoolNotify *notify;
        void *userdata;

        MemberList ready, starting;
        unsigned n_ready, n_starting, target;
        bool strained;
        bool running, filled;
        usec_t backoff;
        usec_t last_take;
        sd_event_source *refill, *review;
};

static void tell(Pool *p, PoolEvent event, const Sandbox *s) {
        if (p->notify)
                p->notify(p, event, s, p->userdata);
}

static Member *member_free(Member *m) {
        if (!m)
                return NULL;
        if (m->sandbox)
                sandbox_set_owner(m->sandbox, NULL, NULL);
        (void) sandbox_unref(m->sandbox);
        free(m);
        return NULL;
}
DEFINE_CLEANUP(Member, member_free);

static void schedule_refill(Pool *p, usec_t delay) {
        if (!p->running)
                return;
        (void) sd_event_source_set_time_relative(p->refill, delay);
        (void) sd_event_source_set_enabled(p->refill, SD_EVENT_ONESHOT);
}

/* Unless it is about to happen anyhow. */
static void schedule_refill_leisurely(Pool *p) {
        int armed = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(p->refill, &armed);
        if (armed == SD_EVENT_OFF)
                schedule_refill(p, REFILL_LEISURE_USEC);
}

static void remove_ready(Pool *p, Member *m) {
        TAILQ_REMOVE(&p->ready, m, entry);
        p->n_ready--;
}

static void remove_starting(Pool *p, Member *m) {
        TAILQ_REMOVE(&p->starting, m, entry);
        p->n_starting--;
}

static void drop_ready(Pool *p, Member *m);

static void member_ready(Pool *p, Member *m) {
        remove_starting(p, m);
        m->ready = true;
        TAILQ_INSERT_TAIL(&p->ready, m, entry);
        p->n_ready++;
        p->backoff = 0;
        tell(p, POOL_MEMBER_READY, m->sandbox);
        if (!p->filled && p->n_ready >= MIN(p->settings.size, p->target)) { /* less when the machine is strained */
                p->filled = true;
                tell(p, POOL_FILLED, NULL);
        }
        if (p->n_ready > p->target) /* fewer are wanted than when it was asked for */
                drop_ready(p, TAILQ_FIRST(&p->ready));
        if (p->n_ready + p->n_starting < p->target)
                schedule_refill(p, 0);
}

static void on_member(Sandbox *s, void *userdata) {
        Member *m = userdata;
        Pool *p = m->pool;

        if (s->state == SANDBOX_READY) {
                if (!p->settings.prepare || p->settings.prepare(p, s, p->settings.with) < 0)
                        member_ready(p, m);
                return;
        }
        if (s->state < SANDBOX_ENDED && !m->ready)
                return; /* told once it has ended */

        _cleanup_(member_freep) _unused_ Member *gone = m;
        if (!m->ready) {
                remove_starting(p, m);
                if (s->error == 0) { /* it has been ready */
                        s->error = -ECHILD;
                        (void) snprintf(s->error_text, sizeof s->error_text, "it died while it was prepared");
                }
                p->backoff = p->backoff ? MIN(2 * p->backoff, BACKOFF_MAX_USEC) : BACKOFF_MIN_USEC;
                tell(p, POOL_MEMBER_FAILED, s);
                schedule_refill(p, p->backoff);
        } else {
                remove_ready(p, m);
                tell(p, POOL_MEMBER_DIED, s);
                schedule_refill(p, REFILL_DELAY_USEC);
        }
}

void pool_prepared(Pool *p, Sandbox *s, const char *problem) {
        Member *m;

        TAILQ_FOREACH(m, &p->starting, entry)
        if (m->sandbox == s)
                break;
        if (!m || s->state != SANDBOX_READY)
                return;
        if (problem) {
                (void) snprintf(s->error_text, sizeof s->error_text, "%s", problem);
                tell(p, POOL_MEMBER_UNPREPARED, s);
        }
        member_ready(p, m);
}

static int start_member(Pool *p) {
        _cleanup_(member_freep) Member *m = malloc(sizeof *m);

        if (!m)
                return -ENOMEM;
        *m = (Member){ .pool = p };
        SandboxSpec spec = p->settings.spec;
        spec.ahead = true;
        int r = backend_start(p->backend, &spec, on_member, m, &m->sandbox);
        if (r < 0)
                return r;
        TAILQ_INSERT_TAIL(&p->starting, m, entry);
        p->n_starting++;
        m = NULL;
        return 0;
}

static int on_refill(sd_event_source *source, uint64_t usec, void *userdata) {
        Pool *p = userdata;

        (void) source;
        (void) usec;
        if (p->backend->status != BACKEND_READY)
                return 0; /* pool_start() is called when it is back */
        while (p->running && p->n_starting < STARTING_MAX && p->n_ready + p->n_starting < p->target)
                if (start_member(p) < 0) {
                        schedule_refill(p, BACKOFF_MIN_USEC);
                        break;
                }
        return 0;
}

static void drop_ready(Pool *p, Member *m) {
        remove_ready(p, m);
        sandbox_set_owner(m->sandbox, NULL, NULL);
        backend_kill(p->backend, m->sandbox);
        (void) member_free(m);
}

static void set_target(Pool *p, unsigned target) {
        if (p->strained)
                target = MIN(target, p->settings.min);
        if (target == p->target)
                return;
        p->target = target;
        tell(p, POOL_RESIZED, NULL);
        while (p->n_ready > p->target)
                drop_ready(p, TAILQ_FIRST(&p->ready));
        schedule_refill(p, REFILL_DELAY_USEC);
}

static usec_t idle_usec(const Pool *p) {
        return p->settings.idle > 0 ? p->settings.idle : USEC_INFINITY;
}

/* Often enough for a short idle time. */
static usec_t review_usec(const Pool *p) {
        return MIN(REVIEW_USEC, idle_usec(p) / 2);
}

/* Once in a while: less demand, fewer members. */
static int on_review(sd_event_source *source, uint64_t usec, void *userdata) {
        Pool *p = userdata;
        usec_t quiet = clock_monotonic() - p->last_take;

        (void) usec;
        (void) sd_event_source_set_time_relative(source, review_usec(p));
        if (quiet >= MIN(QUIET_USEC, idle_usec(p)) && p->target > p->settings.size)
                set_target(p, MAX(p->settings.size, p->target / 2));
        else if (quiet >= idle_usec(p) && p->target > p->settings.min)
                set_target(p, p->target - 1);
        if (p->n_ready + p->n_starting < p->target)
                schedule_refill(p, 0);
        return 0;
}

int pool_new(sd_event *event, Backend *backend, const PoolSettings *settings, PoolNotify *notify, void *userdata,
        Pool **ret) {
        _cleanup_(pool_freep) Pool *p = malloc(sizeof *p);

        if (!p)
                return -ENOMEM;
        *p = (Pool){
                .event = event,
                .backend = backend,
                .settings = *settings,
                .notify = notify,
                .userdata = userdata,
                .target = settings->size,
                .last_take = clock_monotonic(),
        };
        TAILQ_INIT(&p->ready);
        TAILQ_INIT(&p->starting);

        int r = sd_event_add_time_relative(event, &p->refill, CLOCK_MONOTONIC, 0, 1, on_refill, p);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(p->refill, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* what makes members waits for what serves clients */
        r = sd_event_source_set_priority(p->refill, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &p->review, CLOCK_MONOTONIC, review_usec(p), USEC_PER_SEC, on_review, p);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(p->review, SD_EVENT_ON);
        if (r < 0)
                return r;
        *ret = take_ptr(p);
        return 0;
}

void pool_start(Pool *p) {
        p->running = true;
        schedule_refill(p, 0);
}

void pool_stop(Pool *p) {
        Member *m;

        p->running = false;
        (void) sd_event_source_set_enabled(p->refill, SD_EVENT_OFF);
        while ((m = TAILQ_FIRST(&p->ready)))
                drop_ready(p, m);
        while ((m = TAILQ_FIRST(&p->starting))) {
                remove_starting(p, m);
                sandbox_set_owner(m->sandbox, NULL, NULL);
                backend_kill(p->backend, m->sandbox);
                (void) member_free(m);
        }
}

Pool *pool_free(Pool *p) {
        if (!p)
                return NULL;
        p->next = pool_free(p->next);
        p->notify = NULL;
        if (p->refill)
                pool_stop(p);
        p->refill = sd_event_source_disable_unref(p->refill);
        p->review = sd_event_source_disable_unref(p->review);
        free(p);
        return NULL;
}

Sandbox *pool_take(Pool *p) {
        Member *m;

        p->last_take = clock_monotonic();
        while ((m = TAILQ_FIRST(&p->ready))) {
                Sandbox *s = m->sandbox;
                if (!sandbox_is_alive(s)) {
                        tell(p, POOL_MEMBER_DIED, s);
                        drop_ready(p, m);
                        continue;
                }
                remove_ready(p, m);
                m->sandbox = NULL;
                free(m);
                sandbox_set_owner(s, NULL, NULL); /* what becomes of it is no more ours to know */
                /* half of it is out: get ahead of the demand */
                if (p->n_ready < p->target / 2 && p->target < p->settings.max)
                        set_target(p, MIN(p->target + p->target / 2 + 1, p->settings.max));
                else if (p->n_ready > p->target / 2)
                        schedule_refill_leisurely(p);
                else
                        schedule_refill(p, REFILL_DELAY_USEC);
                return s;
        }
        tell(p, POOL_EMPTY, NULL);
        if (p->target < p->settings.max)
                set_target(p, MIN(2 * p->target + 1, p->settings.max));
        schedule_refill(p, REFILL_DELAY_USEC);
        return NULL;
}

bool pool_fits(const Pool *p, const SandboxSpec *spec) {
        return strcmp(p->settings.spec.image, spec->image) == 0 && p->settings.spec.calls == spec->calls &&
               memcmp(&p->settings.spec.limits, &spec->limits, sizeof spec->limits) == 0;
}

void pool_configure(Pool *p, const PoolSettings *settings) {
        bool other = !pool_fits(p, &settings->spec) || p->settings.prepare != settings->prepare ||
                     p->settings.with != settings->with;
        bool running = p->running;
        bool resized = p->settings.size != settings->size;

        if (other)
                pool_stop(p);
        p->settings = *settings;
        (void) sd_event_source_set_time_relative(p->review, review_usec(p));
        set_target(p, resized ? settings->size : MIN(MAX(p->target, settings->min), settings->max));
        if (running)
                pool_start(p);
}

const PoolSettings *pool_settings(const Pool *p) {
        return &p->settings;
}

void pool_set_strained(Pool *p, bool strained) {
        if (p->strained == strained)
                return;
        p->strained = strained;
        set_target(p, strained ? p->settings.min : p->settings.size);
}

unsigned pool_n_ready(const Pool *p) {
        return p->n_ready;
}

unsigned pool_target(const Pool *p) {
        return p->target;
}

bool pool_is_failing(const Pool *p) {
        return p->backoff > 0;
}

/* --- several --- */

void pool_append(Pool *head, Pool *p) {
        while (head->next)
                head = head->next;
        head->next = p;
}

Pool *pool_next(const Pool *p) {
        return p->next;
}

Pool *pool_find(Pool *head, const SandboxSpec *spec) {
        for (Pool *p = head; p; p = p->next)
                if (pool_fits(p, spec))
                        return p;
        return NULL;
}

unsigned pool_sum_ready(const Pool *head) {
        unsigned n = 0;

        for (const Pool *p = head; p; p = p->next)
                n += p->n_ready;
        return n;
}

unsigned pool_sum_target(const Pool *head) {
        unsigned n = 0;

        for (const Pool *p = head; p; p = p->next)
                n += p->target;
        return n;
}
