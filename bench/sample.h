/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Durations in microseconds. */
typedef struct Sample {
        double *values; /* owned */
        size_t n, size;
} Sample;

void sample_add(Sample *s, double value);
void sample_clear(Sample *s);

/* @q: 0.5 is the median. NAN when there are no values. */
double sample_quantile(const Sample *s, double q);

/* Two things measured by turns, in the same rounds. */
typedef struct Pair {
        Sample ours, theirs, ratio; /* ours / theirs of each round */
} Pair;

void pair_add(Pair *p, double ours, double theirs);
void pair_clear(Pair *p);

/* The clock of all measurements, microseconds. */
double now_usec(void);

/* Fills @order with 0 ... n-1 in random order. */
void shuffle(unsigned *order, unsigned n);
