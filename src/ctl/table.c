/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/table.h"

#include <stdarg.h>
#include <string.h>

typedef struct Cell {
        char *text;   /* owned, escaped */
        size_t width; /* columns */
        Colour colour;
} Cell;

struct Table {
        Cell *cells; /* owned; the first row holds the titles */
        size_t n_cells;
        size_t n_columns;
        size_t widths[TABLE_COLUMNS_MAX];
};

Table *table_new(const char *const *heads, size_t n_columns) {
        Table *t = xrealloc(NULL, sizeof *t);

        assert(n_columns > 0 && n_columns <= TABLE_COLUMNS_MAX);

        *t = (Table){
                .n_columns = n_columns,
        };
        for (size_t i = 0; i < n_columns; i++)
                table_add(t, COLOUR_NONE, heads[i]);
        return t;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        free(t);
        return NULL;
}

/* Bytes of text that surely need no more than CELL_COLUMNS_MAX columns; ends between characters. */
static size_t cut(const char *text) {
        size_t n = strnlen(text, CELL_COLUMNS_MAX + 1);

        if (n <= CELL_COLUMNS_MAX)
                return n;
        n = CELL_COLUMNS_MAX - 3;
        while (n > 0 && ((unsigned char) text[n] & 0xC0) == 0x80)
                n--;
        return n;
}

void table_add(Table *t, Colour colour, const char *text) {
        _cleanup_free_ char *safe = NULL;
        size_t width, column = t->n_cells % t->n_columns;

        if (!text || !*text)
                text = "-";

        size_t n = cut(text);
        safe = terminal_escape(text, n, &width);
        if (text[n]) {
                char *longer = xasprintf("%s...", safe);
                free(safe);
                safe = longer;
                width += 3;
        }

        if (t->n_cells % 64 == 0)
                t->cells = xrealloc(t->cells, (t->n_cells + 64) * sizeof *t->cells);
        t->cells[t->n_cells++] = (Cell){
                .text = take_ptr(safe),
                .width = width,
                .colour = colour,
        };
        t->widths[column] = MAX(t->widths[column], width);
}

void table_addf(Table *t, Colour colour, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                out_of_memory();
        table_add(t, colour, text);
}

void table_print(const Table *t, FILE *f) {
        for (size_t i = 0; i < t->n_cells; i++) {
                const Cell *c = t->cells + i;
                size_t column = i % t->n_columns;

                fprintf(f, "%s%s%s", terminal_colour(f, c->colour), c->text, terminal_colour_end(f, c->colour));
                if (column + 1 == t->n_columns)
                        fputc('\n', f);
                else
                        fprintf(f, "%*s", (int) (t->widths[column] - c->width + 2), "");
        }
}
