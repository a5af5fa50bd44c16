/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "announce/url.h"
#include "base/macro.h"

#define SOCKET "/run/sandboxd/worker1.sock"

static const struct {
        const char *listen[3], *local, *url; /* no URL: nobody else reaches it */
} cases[] = {
        { { SOCKET, "127.0.0.1:5000" }, "127.0.0.1", "unix:" SOCKET },
        { { SOCKET, "127.0.0.1:5000" }, "", "unix:" SOCKET },
        { { "127.0.0.1:5000" }, "::1", "http://127.0.0.1:5000" },
        { { "[::1]:5000" }, "127.0.0.1", "http://[::1]:5000" },
        { { SOCKET, "127.0.0.1:5000" }, "10.0.0.2", NULL },
        { { SOCKET, "0.0.0.0:5000" }, "10.0.0.2", "http://10.0.0.2:5000" },
        { { SOCKET, "[::]:5000" }, "fd00::2", "http://[fd00::2]:5000" },
        { { "[::]:5000" }, "10.0.0.2", "http://10.0.0.2:5000" },
        { { "0.0.0.0:5000" }, "127.0.0.1", "http://127.0.0.1:5000" },
        { { SOCKET, "0.0.0.0:5000", "10.0.0.3:5001" }, "10.0.0.2", "http://10.0.0.3:5001" },
        { { SOCKET, "10.0.0.3:5001", "[fd00::3]:5002" }, "127.0.0.1", "http://10.0.0.3:5001" },
        { { "@abstract", "nonsense" }, "", NULL },
        { { NULL }, "10.0.0.2", NULL },
};

static void worker_is_where_others_reach_it(void **state) {
        char url[ANNOUNCE_URL_MAX];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t n = 0;
                while (n < 3 && cases[i].listen[n])
                        n++;
                int r = announce_url(cases[i].listen, n, cases[i].local, url);
                assert_int_equal(r, cases[i].url ? 0 : -ENOENT);
                if (cases[i].url)
                        assert_string_equal(url, cases[i].url);
        }
}

static void address_that_is_too_long_is_refused(void **state) {
        char path[400] = "/", url[ANNOUNCE_URL_MAX];
        const char *listen[] = { path };

        (void) state;
        memset(path + 1, 'x', sizeof path - 2);
        assert_int_equal(announce_url(listen, 1, "", url), -ENAMETOOLONG);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(worker_is_where_others_reach_it),
                cmocka_unit_test(address_that_is_too_long_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
