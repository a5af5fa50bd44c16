/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/spawner.h"

/* Executes the program of @s anew in this process, with all that it holds. Returns -errno when that fails; then
 * everything is as it was, but for the zygote, which has ended. */
int handover_execute(Spawner *s);

/* Takes up what handover_execute() left in the file @state (taken). Returns 0 or -errno. */
int handover_resume(Spawner *s, int state);
