/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/terminal.h"

/* Aligned columns for people. Cells are escaped and cut at CELL_COLUMNS_MAX. */
#define TABLE_COLUMNS_MAX 8U
#define CELL_COLUMNS_MAX 64U

typedef struct Table Table;

/* @heads: @n_columns titles, at most TABLE_COLUMNS_MAX. */
Table *table_new(const char *const *heads, size_t n_columns);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table, table_free);

/* Adds the next cell, left to right, row after row; NULL and "" show as "-". */
void table_add(Table *t, Colour colour, const char *text);
void table_addf(Table *t, Colour colour, const char *format, ...) _printf_(3, 4);
void table_print(const Table *t, FILE *f);
