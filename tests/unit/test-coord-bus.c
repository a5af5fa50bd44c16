/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "coord/bus.h"

/* The manual names all that the table has, and nothing else. */

static char page[32 * 1024];

static int load_page(void **state) {
        FILE *f = fopen(SOURCE_ROOT "/man/org.sandboxd.Coordinator1.5", "re");

        (void) state;
        assert_non_null(f);
        size_t n = fread(page, 1, sizeof page - 1, f);
        assert_true(n > 0 && n < sizeof page - 1);
        page[n] = '\0';
        (void) fclose(f);
        return 0;
}

static unsigned count_items(const char *macro) {
        char start[16];
        unsigned count = 0;

        (void) snprintf(start, sizeof start, "\n.It %s ", macro);
        for (const char *p = page; (p = strstr(p, start)); p++)
                count++;
        return count;
}

static void check_kind(char type, const char *macro) {
        unsigned count = 0;

        for (const sd_bus_vtable *v = coord_bus_vtable; v->type != _SD_BUS_VTABLE_END; v++) {
                char item[96];
                if (v->type != type)
                        continue;
                const char *name = type == _SD_BUS_VTABLE_METHOD   ? v->x.method.member
                                   : type == _SD_BUS_VTABLE_SIGNAL ? v->x.signal.member
                                                                   : v->x.property.member;
                size_t n = (size_t) snprintf(item, sizeof item, "\n.It %s %s", macro, name);
                const char *p = strstr(page, item);
                if (!p || !strchr(" \n", p[n]))
                        fail_msg("the page lacks an item \".It %s %s\"", macro, name);
                count++;
        }
        assert_true(count > 0);
        assert_int_equal(count_items(macro), count);
}

static void methods_properties_and_signals_are_described(void **state) {
        (void) state;
        check_kind(_SD_BUS_VTABLE_METHOD, "Fn");
        check_kind(_SD_BUS_VTABLE_PROPERTY, "Va");
        check_kind(_SD_BUS_VTABLE_SIGNAL, "Ic");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(methods_properties_and_signals_are_described),
        };

        return cmocka_run_group_tests(tests, load_page, NULL);
}
