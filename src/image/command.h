/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Runs the program found on a fixed PATH, with stdin from /dev/null and a clean environment (LC_ALL=C), and
 * waits for it. @ret_output: all it wrote to stdout, ended by NUL; NULL leaves stdout on stderr.
 * Returns 0 or -errno: -ENOENT when there is no such program, -EPROTO when it fails. Does not report. */
int command_run(const char *const *argv, char **ret_output);
