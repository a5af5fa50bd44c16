/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/authorize.h"

#define POLKIT "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define FLAG_INTERACTIVE 1U

#define ANSWER_USEC (25 * USEC_PER_SEC)
#define PASSWORD_USEC (300 * USEC_PER_SEC) /* someone has to find and type it */

/* No error is set when the caller may. */
static void read_answer(sd_bus_message *answer, bool without_polkit, sd_bus_error *ret) {
        const sd_bus_error *e = sd_bus_message_get_error(answer);
        Error error = { 0 };
        int authorized, challenge;

        if (e && (sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                         sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER))) {
                if (without_polkit)
                        return;
                (void) error_set(&error, ERROR_FORBIDDEN, "Without polkit on this system only root may do this.");
        } else if (e)
                (void) error_set(&error, ERROR_FORBIDDEN, "polkit cannot be asked whether this is allowed: %s",
                        e->message ? e->message : e->name);
        else if (sd_bus_message_enter_container(answer, 'r', "bba{ss}") < 0 ||
                 sd_bus_message_read(answer, "bb", &authorized, &challenge) < 0)
                (void) error_set(&error, ERROR_FORBIDDEN, "polkit gave no answer that can be understood.");
        else if (authorized)
                return;
        else if (challenge) {
                (void) sd_bus_error_set(ret, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                        "This takes a password: call with interactive authorization allowed, and with an agent.");
                return;
        } else
                (void) error_set(&error, ERROR_FORBIDDEN, "The rules of polkit do not allow this.");
        (void) bus_error(ret, &error, -EPERM);
}

static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error) {
        BusCall *c = userdata;
        sd_bus_error refusal = SD_BUS_ERROR_NULL;

        (void) ret_error;
        read_answer(answer, c->without_polkit, &refusal);
        c->slot = sd_bus_slot_unref(c->slot);
        c->authorized(c, sd_bus_error_is_set(&refusal) ? &refusal : NULL);
        sd_bus_error_free(&refusal);
        return 0;
}

static int append_details(sd_bus_message *q, const char *const *details) {
        int r = sd_bus_message_open_container(q, 'a', "{ss}");

        for (; details && details[0] && r >= 0; details += 2)
                r = sd_bus_message_append(q, "{ss}", details[0], details[1]);
        return r < 0 ? r : sd_bus_message_close_container(q);
}

int bus_authorize(BusCall *c, const BusAction *action, BusAuthorized *done) {
        sd_bus *bus = sd_bus_message_get_bus(c->message);
        const char *sender = sd_bus_message_get_sender(c->message);
        bool interactive = sd_bus_message_get_allow_interactive_authorization(c->message) > 0;
        sd_bus_message *q = NULL;

        int r = sd_bus_message_new_method_call(bus, &q, POLKIT, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(
                        q, "(sa{sv})s", "system-bus-name", 1, "name", "s", sender ? sender : "", action->id);
        if (r >= 0)
                r = append_details(q, action->details);
        if (r >= 0)
                r = sd_bus_message_append(q, "us", interactive ? FLAG_INTERACTIVE : 0, "");
        if (r >= 0)
                r = sd_bus_call_async(bus, &c->slot, q, on_answer, c, interactive ? PASSWORD_USEC : ANSWER_USEC);
        (void) sd_bus_message_unref(q);
        if (r < 0)
                return r;
        c->without_polkit = action->without_polkit;
        c->authorized = done;
        return 0;
}
