/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bench.h"

static const char *verdict(bool reached) {
        return reached ? "reached" : "MISSED";
}

void report_title(const char *title, const char *ours, const char *theirs) {
        (void) printf("\n%-46s %9s %9s %9s %9s  %6s  %-13s %s\n", title, ours, "p99", theirs, "p99", "ratio",
                "quartiles", "target");
}

static void report_times(const char *name, const Pair *p) {
        (void) printf("%-46s %9.1f %9.1f %9.1f %9.1f  ", name, sample_quantile(&p->ours, 0.5),
                sample_quantile(&p->ours, 0.99), sample_quantile(&p->theirs, 0.5), sample_quantile(&p->theirs, 0.99));
}

void report_pair(const char *name, const Pair *p, double target) {
        double ratio = sample_quantile(&p->ratio, 0.5);

        report_times(name, p);
        (void) printf(
                "%6.2f  %5.2f - %5.2f", ratio, sample_quantile(&p->ratio, 0.25), sample_quantile(&p->ratio, 0.75));
        if (target > 0)
                (void) printf(" <= %.2f %s", target, verdict(ratio <= target));
        (void) printf("\n");
}

void report_faster(const char *name, const Pair *p, double target) {
        double times = 1 / sample_quantile(&p->ratio, 0.5);

        report_times(name, p);
        (void) printf("%5.2fx  %5.2f - %5.2f", times, 1 / sample_quantile(&p->ratio, 0.75),
                1 / sample_quantile(&p->ratio, 0.25));
        if (target > 0)
                (void) printf(" >= %.2f %s", target, verdict(times >= target));
        (void) printf("\n");
}

void report_value(const char *name, double value, const char *unit, double target) {
        (void) printf("%-46s %9.1f %s", name, value, unit);
        if (target > 0)
                (void) printf("  <= %.0f %s", target, verdict(value <= target));
        (void) printf("\n");
}

void report_rate(const char *name, double ours, double theirs, double target) {
        (void) printf("%-46s %9.0f %9s %9.0f %9s  %6.2f  %13s", name, ours, "", theirs, "", ours / theirs, "");
        if (target > 0)
                (void) printf(" >= %.2f %s", target, verdict(ours / theirs >= target));
        (void) printf("\n");
}
