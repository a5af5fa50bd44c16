/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log/message.h"

#define LOG_MESSAGE_DEFINE(name_, id_) const LogMessage MESSAGE_##name_ = { .name = #name_, .id = id_ };
LOG_MESSAGES(LOG_MESSAGE_DEFINE)
