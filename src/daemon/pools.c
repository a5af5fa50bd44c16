/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "daemon/manager.h"
#include "log/log.h"
#include "session/language.h"

/* The pool of the default image, and those of the sections [Pool "IMAGE"]. A pool is never freed while the worker runs:
 * something of it may still be on its way. One whose section has gone is empty, and the next one's. */

static Warmth *warmth_free(Warmth *w) {
        if (!w)
                return NULL;
        (void) image_config_unref(w->config);
        free(w);
        return NULL;
}

/* Sets what is to be prepared in the pool's members, the same as before if the members are. */
static void set_warmth(ManagerPool *p, PoolSettings *s, const char *interpreter, ImageConfig *config) {
        const Language *language = interpreter && *interpreter ? language_find(interpreter) : NULL;
        Warmth *w = language ? malloc(sizeof *w) : NULL;

        if (p->warmth && p->warmth->language == language && strcmp(p->folder, s->spec.image) == 0) {
                free(w);
                w = p->warmth;
        } else if (w)
                *w = (Warmth){ .language = language, .config = config ? image_config_ref(config) : NULL };
        if (w != p->warmth)
                (void) warmth_free(p->warmth);
        p->warmth = w;
        (void) snprintf(p->folder, sizeof p->folder, "%s", s->spec.image);
        s->with = w;
        s->prepare = w ? warm_prepare : NULL;
}

/* The settings of the default image's pool. */
static PoolSettings default_settings(Manager *m) {
        const Config *c = m->config;
        _cleanup_free_ char *warm = config_warm(c);
        PoolSettings s = {
                .size = c->pool_size,
                .min = c->pool_min,
                .idle = c->pool_idle,
                .max = c->pool_max,
                .spec.limits = c->limits,
        };
        ImageConfig *config = NULL;
        Error error = { 0 };

        if (manager_resolve_image(c->image, &s.spec, &config, m, &error) < 0)
                (void) snprintf(s.spec.image, sizeof s.spec.image, "%s", c->image); /* fails when it is used */
        error_clear(&error);
        set_warmth(&m->pools[0], &s, warm, config);
        return s;
}

/* Those of a section, or of none. */
static PoolSettings section_settings(Manager *m, ManagerPool *p, const PoolConfig *c) {
        PoolSettings s = { .spec.limits = m->config->limits };
        ImageConfig *config = NULL;
        Error error = { 0 };
        bool found = c && manager_resolve_image(c->image, &s.spec, &config, m, &error) >= 0;

        error_clear(&error);
        if (found) {
                s.size = c->size;
                s.min = c->min;
                s.idle = c->idle;
                s.max = c->max;
        }
        if (c && !found && !p->missed)
                log_warning("[Pool \"%s\"]: there is no image of this name; `sandboxctl image import` or `pull` brings it.",
                        c->image);
        p->missed = c && !found;
        set_warmth(p, &s, found ? c->warm : NULL, config);
        return s;
}

static ManagerPool *find(Manager *m, const char *image) {
        for (size_t i = 1; i < ELEMENTSOF(m->pools); i++)
                if (m->pools[i].image && strcmp(m->pools[i].image, image) == 0)
                        return &m->pools[i];
        return NULL;
}

static bool is_configured(const Config *c, const char *image) {
        for (size_t i = 0; i < c->n_pools; i++)
                if (strcmp(c->pools[i].image, image) == 0)
                        return true;
        return false;
}

static void configure_section(Manager *m, ManagerPool *p, const PoolConfig *c) {
        PoolSettings s = section_settings(m, p, c);
        int r = 0;

        if (p->pool) {
                pool_configure(p->pool, &s);
                return;
        }
        if (!c)
                return;
        r = pool_new(m->event, m->backend, &s, manager_on_pool, m, &p->pool);
        if (r < 0) {
                (void) log_error_errno(r, "Cannot make the pool of image %s: %m", c->image);
                return;
        }
        pool_append(m->pool, p->pool);
        if (m->pools_started)
                pool_start(p->pool);
}

void manager_configure_pools(Manager *m) {
        const Config *c = m->config;
        PoolSettings s = default_settings(m);

        pool_configure(m->pool, &s);
        for (size_t i = 1; i < ELEMENTSOF(m->pools); i++) {
                ManagerPool *p = &m->pools[i];
                if (p->image && !is_configured(c, p->image)) {
                        configure_section(m, p, NULL);
                        free(p->image);
                        p->image = NULL;
                }
        }
        for (size_t i = 0; i < c->n_pools; i++) {
                ManagerPool *p = find(m, c->pools[i].image);
                for (size_t j = 1; !p && j < ELEMENTSOF(m->pools); j++)
                        if (!m->pools[j].image) {
                                p = &m->pools[j];
                                p->image = strdup(c->pools[i].image);
                        }
                if (p && p->image)
                        configure_section(m, p, &c->pools[i]);
        }
}

int manager_make_pools(Manager *m) {
        PoolSettings s = default_settings(m);
        int r = pool_new(m->event, m->backend, &s, manager_on_pool, m, &m->pool);

        if (r < 0)
                return r;
        m->pools[0].pool = m->pool;
        manager_configure_pools(m);
        return 0;
}

void manager_start_pools(Manager *m) {
        m->pools_started = true;
        for (Pool *p = m->pool; p; p = pool_next(p))
                pool_start(p);
}

void manager_free_pools(Manager *m) {
        m->pool = pool_free(m->pool);
        for (size_t i = 0; i < ELEMENTSOF(m->pools); i++) {
                free(m->pools[i].image);
                (void) warmth_free(m->pools[i].warmth);
        }
}

const char *manager_pool_image(const Manager *m, const Pool *pool) {
        for (size_t i = 1; i < ELEMENTSOF(m->pools); i++)
                if (m->pools[i].pool == pool)
                        return m->pools[i].image;
        return NULL;
}
