/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/import.h"

/* Has skopeo(1) fetch @reference from its registry, and imports it. Reports. */
int pull_run(const ImportOptions *o, const char *reference);
