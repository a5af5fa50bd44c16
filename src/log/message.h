/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The journal's MESSAGE_IDs. Each has an entry of the same id in units/sandboxd.catalog, which may quote these
 * fields (both checked by a test). Every entry carries WORKER_ID; what is about a session, a command or a request
 * carries its id; what ended or failed carries a REASON; what is about a pool tells its image and how many are ready.
 * Fields: WORKER_ID SESSION_ID EXEC_ID REQUEST_ID REASON SANDBOXD_ACTION SANDBOXD_OWNER SANDBOXD_CALLER
 * SANDBOXD_PATH SANDBOXD_STATUS SANDBOXD_IMAGE SANDBOXD_USER SANDBOXD_POOL_READY SANDBOXD_POOL_SIZE. */
typedef struct LogMessage {
        const char *name;
        const char *id; /* 32 hex digits */
} LogMessage;

#define LOG_MESSAGES(M)                                                                                                \
        M(WORKER_STARTING, "a63fb903c77d4f17a202f2b6ad8623ba")                                                         \
        M(WORKER_READY, "3bafd4ca80334654b5e1dcdd555f00f4")                                                            \
        M(WORKER_STOPPING, "935274397f664443a048f7126cfe61a1")                                                         \
        M(WORKER_RELOADED, "ff56e71684064caeb75ea98ab864a878")                                                         \
        M(SESSIONS_KEPT, "564a2f7ee4fe4d93a7ff1f811e50c371")                                                           \
        M(PRESSURE, "9e93e20379234cfc807eb5f2ab128ac1")                                                                \
        M(LIMITS_UNAVAILABLE, "eff100d4943842138e3e6f267128262d")                                                      \
        M(SPAWNER_LOST, "ce4a7b8b45ed43a79b0a138ca96fe4cb")                                                            \
        M(SPAWNER_BACK, "0d6ca885e2ea498d87fdfe3faf07fcf1")                                                            \
        M(POOL_STARTING, "8cd0cee39c429aa11900c0f958d1bcd7")                                                           \
        M(POOL_MEMBER_READY, "99089766082d4ad4a3293a12e9e16ee4")                                                       \
        M(POOL_READY, "9467e61d1f094b46a4c719580d17c184")                                                              \
        M(POOL_EMPTY, "229f712cc36740b8a7992567ae181694")                                                              \
        M(POOL_MEMBER_DIED, "b0dc5fc4165d43ec84e387706b075ca4")                                                        \
        M(POOL_RESIZED, "2758a47cdc3e4c05874fbbe9d9e82aa8")                                                            \
        M(SANDBOX_FAILED, "89493625c14d418e825bef8e64c0ff29")                                                          \
        M(WARM_FAILED, "d1f519c94703452e8c8eeb8b771064fc")                                                             \
        M(SESSION_CREATED, "8f7c5b70f9374d56a54f8fd3e4987683")                                                         \
        M(SESSION_ENDED, "7ad054a49fa641a688fe666be933e5aa")                                                           \
        M(EXEC_FINISHED, "91c72538e6f9442daa7078972abebfa7")                                                           \
        M(REQUEST_REFUSED, "de70289539e14dd098b6bf467ab9cdb8")                                                         \
        M(AUDIT, "5d5a4f3c1e9b4f0c9d0c6a7b2f8e1d34")                                                                   \
        M(COORDINATOR_STARTING, "0b576c57a2ba4a9aba97440ebdf7efce")                                                    \
        M(COORDINATOR_READY, "78c1a4e9ba5c4660b8484f51b4314a0f")                                                       \
        M(COORDINATOR_STOPPING, "e247a167ffac4946935b0e01f0689add")                                                    \
        M(WORKER_UP, "6243511db7d64fd5bec2e3f7ccbd2ab6")                                                               \
        M(WORKER_DOWN, "68ec4bdb9c9a44edbf65867f33617457")                                                             \
        M(WORKER_GIVEN_UP, "c613481c586a46bb90855b0a4ae51a25")                                                         \
        M(WORKER_CONFLICT, "0d810043513344268cf2a6da9b006974")                                                         \
        M(WORKER_FENCED, "b2b6316faa2046d297e719331499b5cf")                                                           \
        M(STORE_DOWN, "80bf6916bc074b9bb3444f7a149db00c")                                                              \
        M(STORE_UP, "3b9880761f554dd3b46ff5ed1d9465f3")

#define LOG_MESSAGE_DECLARE(name, id) extern const LogMessage MESSAGE_##name;
LOG_MESSAGES(LOG_MESSAGE_DECLARE)
#undef LOG_MESSAGE_DECLARE
