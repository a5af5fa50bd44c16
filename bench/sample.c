/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include <err.h>
#include <math.h>
#include <string.h>
#include <time.h>

void sample_add(Sample *s, double value) {
        if (s->n == s->size) {
                s->size = s->size ? 2 * s->size : 256;
                s->values = reallocarray(s->values, s->size, sizeof *s->values);
                if (!s->values)
                        err(EXIT_FAILURE, "samples");
        }
        s->values[s->n++] = value;
}

void sample_clear(Sample *s) {
        free(s->values);
        *s = (Sample){ 0 };
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return x < y ? -1 : x > y;
}

double sample_quantile(const Sample *s, double q) {
        _cleanup_free_ double *sorted = NULL;

        if (s->n == 0)
                return (double) NAN;
        sorted = malloc(s->n * sizeof *sorted);
        if (!sorted)
                err(EXIT_FAILURE, "samples");
        memcpy(sorted, s->values, s->n * sizeof *sorted);
        qsort(sorted, s->n, sizeof *sorted, compare);
        return sorted[MIN((size_t) (q * (double) s->n), s->n - 1)];
}

void pair_add(Pair *p, double ours, double theirs) {
        sample_add(&p->ours, ours);
        sample_add(&p->theirs, theirs);
        sample_add(&p->ratio, ours / theirs);
}

void pair_clear(Pair *p) {
        sample_clear(&p->ours);
        sample_clear(&p->theirs);
        sample_clear(&p->ratio);
}

double now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

void shuffle(unsigned *order, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                order[i] = i;
        for (unsigned i = n; i > 1; i--) {
                unsigned j = (unsigned) random() % i, kept = order[i - 1];
                order[i - 1] = order[j];
                order[j] = kept;
        }
}
