/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* This program ends at its first failure: where that is known best, it is said in one line on stderr, and the
 * functions above only pass the number on. Returns -abs(error). */
int report(int error, const char *format, ...) _printf_(2, 3);

/* The same for a failed write below the images folder @path: says what to do about it. */
int report_write(int error, const char *path);

int report_memory(void); /* -ENOMEM */
