/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* After unit.h. What is tried in a child: the statements end it. The value is that of waitpid(). */
#define IN_CHILD(...)                                                                                                  \
        ({                                                                                                             \
                int _status;                                                                                           \
                pid_t _pid = fork();                                                                                   \
                assert_true(_pid >= 0);                                                                                \
                if (_pid == 0) {                                                                                       \
                        __VA_ARGS__;                                                                                   \
                        abort();                                                                                       \
                }                                                                                                      \
                assert_int_equal(waitpid(_pid, &_status, 0), _pid);                                                    \
                _status;                                                                                               \
        })

/* Its exit status: it has to have one. */
#define EXIT_OF_CHILD(...)                                                                                             \
        ({                                                                                                             \
                int _ended = IN_CHILD(__VA_ARGS__);                                                                    \
                assert_true(WIFEXITED(_ended));                                                                        \
                WEXITSTATUS(_ended);                                                                                   \
        })
