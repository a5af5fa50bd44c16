/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/client.h"

/* What a refusal tells: "TITLE: DETAIL (field F, limit L)", with the advice that follows from it. New string,
 * escaped. */
char *problem_text(const Answer *a);
