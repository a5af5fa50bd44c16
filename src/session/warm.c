/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/warm.h"

#include "session/context.h"

/* Belongs to the sandbox until that is a session's. */
typedef struct Warm {
        Pool *pool;       /* borrowed */
        Sandbox *sandbox; /* borrowed */
        Context *context; /* owned */
        ContextWaiter waiter;
} Warm;

static void warm_free(void *companion) {
        Warm *w = companion;

        context_waiter_cancel(&w->waiter);
        (void) context_unref(w->context);
        free(w);
}

static void on_changed(ContextWaiter *waiter) {
        Warm *w = CONTAINER_OF(waiter, Warm, waiter);
        _cleanup_error_ Error error = { 0 };

        if (w->context->state == CONTEXT_ENDED)
                (void) context_explain(w->context, &error);
        pool_prepared(w->pool, w->sandbox, error.detail);
}

int warm_prepare(Pool *p, Sandbox *s, const void *with) {
        Warm *w = malloc(sizeof *w);

        if (!w)
                return -ENOMEM;
        *w = (Warm){ .pool = p, .sandbox = s, .waiter = { .changed = on_changed } };
        const Warmth *warmth = with;
        int r = context_prepare(s, warmth->language, warmth->config, &w->context);
        if (r < 0) {
                free(w);
                return r;
        }
        (void) context_wait(w->context, &w->waiter); /* it starts: there is something to wait for */
        s->companion = w;
        s->companion_free = warm_free;
        return 0;
}

void warm_hand_over(Session *s) {
        Warm *w = s->sandbox->companion_free == warm_free ? take_ptr(s->sandbox->companion) : NULL;

        if (!w)
                return;
        context_offer(s, context_ref(w->context));
        warm_free(w);
}
