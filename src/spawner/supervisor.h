/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/spawner.h"

/*
 * The main process of the spawner's service. All work is done in a child that shares its table of descriptors: when
 * that one is killed no descriptor is closed, and the next child goes on with what spawner/state.h says. This one reads
 * nothing but signals and what the child has it tell the service manager.
 */

/* Runs until it is told to stop, or cannot go on. Returns 0 or -errno, after a line on stderr. */
int supervisor_run(Spawner *s);
