/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/reader.h"
#include "ctl/terminal.h"

#define KEY_BYTES 32U
#define KEY_PREFIX "sbx_"
#define NAME_MAX_LENGTH 64U

static bool name_is_valid(const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

        return n > 0 && n <= NAME_MAX_LENGTH && name[n] == '\0';
}

int command_key_new(Ctl *ctl, int argc, char **argv) {
        char key[sizeof KEY_PREFIX + sodium_base64_ENCODED_LEN(KEY_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING)] =
                KEY_PREFIX;
        char hex[crypto_hash_sha256_BYTES * 2 + 1];
        unsigned char bytes[KEY_BYTES], digest[crypto_hash_sha256_BYTES];
        const char *name = argc > 0 ? argv[0] : "default";

        if (!name_is_valid(name)) {
                _cleanup_free_ char *safe = terminal_escape_string(name);
                print_error("Name \"%s\": Expected 1 to %u letters, digits, '-', '_' and '.'", safe, NAME_MAX_LENGTH);
                return STATUS_USAGE;
        }
        if (sodium_init() < 0) {
                print_error("No random numbers on this machine");
                return STATUS_FAILED;
        }

        randombytes_buf(bytes, sizeof bytes);
        (void) sodium_bin2base64(key + strlen(KEY_PREFIX), sizeof key - strlen(KEY_PREFIX), bytes, sizeof bytes,
                sodium_base64_VARIANT_URLSAFE_NO_PADDING); /* aborts when the room is too small, which it is not */
        (void) crypto_hash_sha256(digest, (const unsigned char *) key, strlen(key)); /* cannot fail */
        (void) sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);               /* as above */

        if (ctl->options.json) {
                _cleanup_json_ json_t *document =
                        json_pack("{s:s, s:s, s:s++}", "name", name, "key", key, "keys", name, ":", hex);
                print_json(document);
        } else {
                printf("%s\n%s:%s\n", key, name, hex);
                print_note(
                        "The first line is the key, it is not kept anywhere. The second line is for Keys= in section "
                        "[Auth] of the configuration.");
        }
        sodium_memzero(key, sizeof key);
        sodium_memzero(bytes, sizeof bytes);
        return 0;
}
