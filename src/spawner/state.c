/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/state.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define PAGE UINT64_C(4096)
#define PART_SIZE_MAX 65536U /* of one entry, of any version */

static uint64_t pages(uint64_t size) {
        return (size + PAGE - 1) & ~(PAGE - 1);
}

/* Where the parts begin: head, kept, slots. */
static uint64_t kept_at(const StateHead *h) {
        return pages(h->head_size);
}

static uint64_t slots_at(const StateHead *h) {
        return kept_at(h) + pages((uint64_t) h->kept_size * h->n_kept);
}

static uint64_t slots_length(const StateHead *h, uint32_t n_identities) {
        return pages((uint64_t) h->slot_size * n_identities);
}

static int map(const State *s, uint64_t at, uint64_t length, void *ret) {
        struct stat st;

        if (fstat(s->fd, &st) < 0)
                return -errno;
        if ((uint64_t) st.st_size < at + length && ftruncate(s->fd, (off_t) (at + length)) < 0)
                return -errno;
        void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, (off_t) at);
        if (p == MAP_FAILED)
                return -errno;
        *(void **) ret = p;
        return 0;
}

static int map_own(State *s, const StateHead *layout) {
        int r = map(s, 0, kept_at(layout), &s->head);

        return r < 0 ? r : map(s, kept_at(layout), slots_at(layout) - kept_at(layout), &s->kept);
}

static StateHead layout_now(void) {
        return (StateHead){
                .magic = STATE_MAGIC,
                .version = STATE_VERSION,
                .head_size = sizeof(StateHead),
                .slot_size = sizeof(Slot),
                .kept_size = sizeof(Kept),
                .n_kept = KEPT_TABLE_MAX,
                .listener = -EBADF,
                .worker = -EBADF,
                .userns = -EBADF,
                .heir = -EBADF,
        };
}

int state_new(State *s) {
        StateHead head = layout_now();

        *s = (State){ .fd = memfd_create("spawner", MFD_CLOEXEC) };
        if (s->fd < 0)
                return -errno;
        int r = map_own(s, &head);
        if (r < 0) {
                state_free(s);
                return r;
        }
        *s->head = head;
        return 0;
}

int state_add_slots(State *s, uint32_t n_identities) {
        if (s->slots)
                return 0;
        if (n_identities > IDENTITIES_MAX)
                return -E2BIG;
        return map(s, slots_at(s->head), slots_length(s->head, n_identities), &s->slots);
}

static int get(int fd, uint64_t at, void *entry, size_t size, uint32_t saved_size) {
        size_t length = MIN(size, (size_t) saved_size);

        memset(entry, 0, size);
        ssize_t n = pread(fd, entry, length, (off_t) at);
        if (n < 0)
                return -errno;
        return (size_t) n == length ? 0 : -EBADMSG;
}

static bool layout_is_sane(const StateHead *h) {
        uint32_t n_kept = h->n_kept, least = offsetof(StateHead, counters) + sizeof(SlotCounters);

        return h->head_size >= least && h->head_size <= PART_SIZE_MAX && h->slot_size >= offsetof(Slot, kept) &&
               h->slot_size <= PART_SIZE_MAX && h->kept_size >= offsetof(Kept, next) && h->kept_size <= PART_SIZE_MAX &&
               n_kept >= h->counters.n_kept_used && n_kept <= (1U << 20) && h->n_spares <= STATE_SPARES_MAX &&
               h->counters.n_kept_used <= KEPT_TABLE_MAX && h->counters.n_identities <= IDENTITIES_MAX &&
               (h->counters.n_identities == 0 || h->counters.n_used < h->counters.n_identities);
}

/* What a program with entries of other sizes left. */
static int convert(State *s, int fd, const StateHead *old) {
        StateHead now = layout_now();
        int r;

        r = state_new(s);
        if (r == 0 && old->counters.n_identities > 0)
                r = state_add_slots(s, old->counters.n_identities);
        for (uint32_t i = 0; i < old->counters.n_kept_used && r == 0; i++)
                r = get(fd, kept_at(old) + (uint64_t) i * old->kept_size, &s->kept[i], sizeof *s->kept, old->kept_size);
        for (uint32_t i = 0; i < old->counters.n_used && r == 0; i++)
                r = get(fd, slots_at(old) + (uint64_t) i * old->slot_size, &s->slots[i], sizeof *s->slots, old->slot_size);
        if (r < 0)
                return r;
        *s->head = *old;
        s->head->head_size = now.head_size;
        s->head->slot_size = now.slot_size;
        s->head->kept_size = now.kept_size;
        s->head->n_kept = now.n_kept;
        return 0;
}

int state_open(State *s, int fd) {
        _cleanup_fd_ int owned = fd;
        StateHead head, now = layout_now();
        int r;

        *s = (State) STATE_INIT;
        (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
        r = get(fd, 0, &head, sizeof head, sizeof head);
        if (r < 0)
                return r;
        if (head.magic != STATE_MAGIC || head.version != STATE_VERSION)
                return -EPROTONOSUPPORT;
        if (!layout_is_sane(&head))
                return -EBADMSG;
        if (head.head_size < sizeof head) /* what follows it is not of the head */
                memset((char *) &head + head.head_size, 0, sizeof head - head.head_size);

        if (head.head_size == now.head_size && head.slot_size == now.slot_size && head.kept_size == now.kept_size &&
                head.n_kept == now.n_kept) {
                s->fd = take_fd(owned);
                r = map_own(s, &head);
                if (r == 0 && head.counters.n_identities > 0)
                        r = state_add_slots(s, head.counters.n_identities);
        } else
                r = convert(s, fd, &head);
        if (r < 0)
                state_free(s);
        return r;
}

void state_free(State *s) {
        StateHead layout = layout_now();

        if (s->slots)
                (void) munmap(s->slots, slots_length(s->head, s->head->counters.n_identities));
        if (s->kept)
                (void) munmap(s->kept, slots_at(&layout) - kept_at(&layout));
        if (s->head)
                (void) munmap(s->head, kept_at(&layout));
        *s = (State){ .fd = fd_close(s->fd) };
}

/* --- its descriptors --- */

typedef void Visit(int32_t *fd, void *userdata);

static void visit_kept(Kept *k, Visit *visit, void *userdata) {
        if (k->generation == 0)
                return;
        for (unsigned i = 0; i < (unsigned) __builtin_popcount(k->flags) && i < KEPT_MAX; i++)
                visit(&k->fds[i], userdata);
}

static void visit_all(const State *s, Visit *visit, void *userdata) {
        StateHead *h = s->head;

        visit(&h->listener, userdata);
        visit(&h->worker, userdata);
        visit(&h->userns, userdata);
        visit(&h->heir, userdata);
        for (uint32_t i = 0; i < h->n_spares && i < STATE_SPARES_MAX; i++)
                visit(&h->spares[i], userdata);
        for (uint32_t i = 0; s->slots && i < h->counters.n_used; i++) {
                Slot *slot = &s->slots[i];
                visit(&slot->netns, userdata);
                visit(&slot->ctl, userdata);
                visit(&slot->inner, userdata);
                visit(&slot->pidfd, userdata);
        }
        for (uint32_t i = 0; i < h->counters.n_kept_used; i++)
                visit_kept(&s->kept[i], visit, userdata);
}

typedef struct Each {
        void (*each)(int fd, void *userdata);
        void *userdata;
} Each;

static void tell_each(int32_t *fd, void *userdata) {
        const Each *e = userdata;

        if (*fd > STDERR_FILENO)
                e->each(*fd, e->userdata);
}

void state_each(const State *s, void (*each)(int fd, void *userdata), void *userdata) {
        Each e = { each, userdata };

        visit_all(s, tell_each, &e);
}

typedef struct Numbers {
        const int *to;
        size_t n;
} Numbers;

static void renumber(int32_t *fd, void *userdata) {
        const Numbers *numbers = userdata;

        *fd = *fd > STDERR_FILENO && (size_t) *fd < numbers->n ? numbers->to[*fd] : -EBADF;
}

void state_renumber(State *s, const int *to, size_t n_to) {
        Numbers numbers = { to, n_to };

        visit_all(s, renumber, &numbers);
}

static void set_passed(int fd, void *userdata) {
        (void) fcntl(fd, F_SETFD, *(bool *) userdata ? 0 : FD_CLOEXEC);
}

void state_pass(const State *s, bool pass) {
        set_passed(s->fd, &pass);
        state_each(s, set_passed, &pass);
}

typedef struct Named {
        uint8_t *bits;
        unsigned size; /* descriptors */
} Named;

static void note_highest(int fd, void *userdata) {
        Named *n = userdata;

        if (fd >= (int) n->size)
                n->size = (unsigned) fd + 1;
}

static void note_named(int fd, void *userdata) {
        Named *n = userdata;

        if (fd >= 0)
                n->bits[fd / 8] |= (uint8_t) (1U << fd % 8);
}

int state_sweep(const State *s, const int *others, size_t n_others) {
        Named named = { .size = STDERR_FILENO + 1 };

        state_each(s, note_highest, &named);
        note_highest(s->fd, &named);
        for (size_t i = 0; i < n_others; i++)
                note_highest(others[i], &named);
        _cleanup_free_ uint8_t *bits = calloc(named.size / 8 + 1, 1);
        if (!bits)
                return -ENOMEM;
        named.bits = bits;
        state_each(s, note_named, &named);
        note_named(s->fd, &named);
        for (size_t i = 0; i < n_others; i++)
                note_named(others[i], &named);

        for (unsigned fd = STDERR_FILENO + 1; fd < named.size; fd++)
                if (!(bits[fd / 8] >> fd % 8 & 1))
                        (void) close((int) fd);
        return close_range(named.size, ~0U, 0) < 0 ? -errno : 0;
}
