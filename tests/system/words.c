/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A program as somebody may compile in a session: counts the words of its input, in a table that grows, and primes in
 * several threads. */

#define THREADS 4
#define PRIMES_BELOW 200000

typedef struct Word {
        char *text;
        unsigned count;
} Word;

typedef struct Table {
        Word *words;
        size_t n, room;
} Table;

static size_t hash(const char *text) {
        size_t h = 1469598103934665603ULL;

        while (*text)
                h = (h ^ (unsigned char) *text++) * 1099511628211ULL;
        return h;
}

static Word *find(const Table *t, const char *text) {
        size_t i = hash(text) & (t->room - 1);

        while (t->words[i].text && strcmp(t->words[i].text, text) != 0)
                i = (i + 1) & (t->room - 1);
        return &t->words[i];
}

static void grow(Table *t) {
        Table larger = { .n = t->n, .room = t->room ? 2 * t->room : 16 };

        larger.words = calloc(larger.room, sizeof *larger.words);
        if (!larger.words)
                exit(EXIT_FAILURE);
        for (size_t i = 0; i < t->room; i++)
                if (t->words[i].text)
                        *find(&larger, t->words[i].text) = t->words[i];
        free(t->words);
        *t = larger;
}

static void count(Table *t, const char *text) {
        if (2 * t->n >= t->room)
                grow(t);
        Word *w = find(t, text);
        if (!w->text) {
                w->text = strdup(text);
                t->n++;
        }
        w->count++;
}

static int compare(const void *a, const void *b) {
        const Word *x = a, *y = b;

        if (x->count != y->count)
                return x->count < y->count ? 1 : -1;
        return x->text && y->text ? strcmp(x->text, y->text) : 0;
}

static void *count_primes(void *argument) {
        unsigned *first_and_result = argument, n = 0;

        for (unsigned i = *first_and_result; i < PRIMES_BELOW; i += THREADS) {
                unsigned limit = (unsigned) sqrt((double) i), d = 2;
                while (d <= limit && i % d != 0)
                        d++;
                n += d > limit;
        }
        *first_and_result = n;
        return NULL;
}

int main(int argc, char **argv) {
        unsigned shown = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 3, part[THREADS], primes = 0;
        pthread_t threads[THREADS];
        Table t = { 0 };
        char word[64];

        for (unsigned i = 0; i < THREADS; i++) {
                part[i] = 2 + i;
                if (pthread_create(&threads[i], NULL, count_primes, &part[i]) != 0)
                        return EXIT_FAILURE;
        }
        while (scanf("%63s", word) == 1) {
                for (char *p = word; *p; p++)
                        *p = (char) tolower((unsigned char) *p);
                count(&t, word);
        }
        for (unsigned i = 0; i < THREADS; i++) {
                (void) pthread_join(threads[i], NULL);
                primes += part[i];
        }
        qsort(t.words, t.room, sizeof *t.words, compare);
        for (size_t i = 0; i < shown && i < t.n; i++)
                (void) printf("%u %s\n", t.words[i].count, t.words[i].text);
        (void) printf("%zu words, %u primes\n", t.n, primes);
        return EXIT_SUCCESS;
}
