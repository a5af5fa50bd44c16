/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/wire.h"

/* What process 1 tells the worker. Where nobody listens any more it ends. */
void event_tell(const InitEvent *e);
void event_tell_with(const InitEvent *e, int fd); /* borrowed; -EBADF: none */
/* With the folder that says how full the sandbox is; without it that is not known. */
void event_tell_with_data(const InitEvent *e);
/* A command cannot be started. @error: -errno. */
void event_refuse(uint32_t exec, int error, InitStage stage);
