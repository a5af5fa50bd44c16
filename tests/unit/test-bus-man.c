/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"
#include "unit.h"

/* The manual names all that the tables have, and nothing else. */

static char page[64 * 1024];

static int load_page(void **state) {
        FILE *f = fopen(SOURCE_ROOT "/man/org.sandboxd.Worker1.5", "re");

        (void) state;
        assert_non_null(f);
        size_t n = fread(page, 1, sizeof page - 1, f);
        assert_true(n > 0 && n < sizeof page - 1);
        page[n] = '\0';
        (void) fclose(f);
        return 0;
}

/* Is there a line that begins with "@macro @name" and ends there or goes on with a blank? */
static bool page_has(const char *macro, const char *name) {
        char start[96];
        size_t n = (size_t) snprintf(start, sizeof start, "\n.It %s %s", macro, name);

        for (const char *p = page; (p = strstr(p, start)); p++)
                if (p[n] == '\n' || p[n] == ' ')
                        return true;
        return false;
}

static unsigned count_items(const char *macro) {
        char start[16];
        unsigned count = 0;

        (void) snprintf(start, sizeof start, "\n.It %s ", macro);
        for (const char *p = page; (p = strstr(p, start)); p++)
                count++;
        return count;
}

static unsigned check_table(const sd_bus_vtable *table, char type, const char *macro) {
        unsigned count = 0;

        for (const sd_bus_vtable *v = table; v->type != _SD_BUS_VTABLE_END; v++) {
                if (v->type != type)
                        continue;
                const char *name = type == _SD_BUS_VTABLE_METHOD   ? v->x.method.member
                                   : type == _SD_BUS_VTABLE_SIGNAL ? v->x.signal.member
                                                                   : v->x.property.member;
                if (!page_has(macro, name))
                        fail_msg("the page lacks an item \".It %s %s\"", macro, name);
                count++;
        }
        return count;
}

static void methods_properties_and_signals_are_described(void **state) {
        const struct {
                char type;
                const char *macro;
        } kinds[] = { { _SD_BUS_VTABLE_METHOD, "Fn" }, { _SD_BUS_VTABLE_PROPERTY, "Va" },
                { _SD_BUS_VTABLE_SIGNAL, "Ic" } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                unsigned n = check_table(bus_worker_vtable, kinds[i].type, kinds[i].macro) +
                             check_table(bus_session_vtable, kinds[i].type, kinds[i].macro);
                assert_int_equal(count_items(kinds[i].macro), n);
        }
}

static void arguments_have_names(void **state) {
        const sd_bus_vtable *tables[] = { bus_worker_vtable, bus_session_vtable };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(tables); i++)
                for (const sd_bus_vtable *v = tables[i]; v->type != _SD_BUS_VTABLE_END; v++)
                        if (v->type == _SD_BUS_VTABLE_METHOD && v->x.method.signature && v->x.method.signature[0])
                                assert_true(v->x.method.names && v->x.method.names[0]);
                        else if (v->type == _SD_BUS_VTABLE_SIGNAL)
                                assert_true(v->x.signal.names && v->x.signal.names[0]);
}

static bool page_has_option(const char *name) {
        char words[2][64];

        (void) snprintf(words[0], sizeof words[0], ".It Cm %s", name);
        (void) snprintf(words[1], sizeof words[1], " , Cm %s", name);
        return page_has("Cm", name) || (strstr(page, words[1]) && strstr(page, "\n.It Cm "));
}

static void options_are_described(void **state) {
        const BusOption *tables[] = { bus_create_options, bus_execute_options, bus_execute_fd_options };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(tables); i++)
                for (const BusOption *o = tables[i]; o->option; o++)
                        if (!page_has_option(o->option))
                                fail_msg("the page lacks option %s", o->option);
}

static void errors_are_described(void **state) {
        (void) state;
        for (ErrorKind kind = ERROR_NONE + 1; kind < ERROR_KIND_MAX_; kind++) {
                const char *name = strrchr(error_dbus_name(kind), '.') + 1;
                if (!page_has("Li", name))
                        fail_msg("the page lacks error %s", name);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(methods_properties_and_signals_are_described),
                cmocka_unit_test(arguments_have_names),
                cmocka_unit_test(options_are_described),
                cmocka_unit_test(errors_are_described),
        };

        return cmocka_run_group_tests(tests, load_page, NULL);
}
