/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/ctl.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/text.h"
#include "ctl/problem.h"
#include "ctl/reader.h"
#include "ctl/terminal.h"

void ctl_clear(Ctl *ctl) {
        ctl->client = client_free(ctl->client);
        options_clear(&ctl->options);
}

static const char *environment(const char *name) {
        const char *value = getenv(name);

        return value && *value ? value : NULL;
}

static bool url_is_valid(const char *url) {
        CURLU *u = curl_url();
        bool valid = (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0) &&
                     !strpbrk(url, "?#") && u && curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK;

        curl_url_cleanup(u);
        return valid;
}

bool ctl_names_server(const Ctl *ctl) {
        return ctl->options.url || ctl->options.socket || environment("SANDBOXD_URL") || environment("SANDBOXD_SOCKET");
}

/* What the user named, on the command line or else by the environment; else what is found. */
static int find_endpoints(const Options *o, EndpointList *ret) {
        const char *url = o->url, *socket = o->socket;

        if (!url && !socket) {
                url = environment("SANDBOXD_URL");
                socket = environment("SANDBOXD_SOCKET");
        }
        if (url && socket) {
                print_error(
                        "Both a URL and a socket are given (--url, --socket, SANDBOXD_URL, SANDBOXD_SOCKET): give one");
                return -EINVAL;
        }
        if (url && !url_is_valid(url)) {
                _cleanup_free_ char *safe = terminal_escape_string(url);
                print_error("URL \"%s\": Expected http://HOST[:PORT][/PATH] or https://..., without user, query or "
                            "fragment",
                        safe);
                return -EINVAL;
        }
        if (socket && strlen(socket) >= SOCKET_PATH_SIZE) {
                print_error("Socket path too long: at most %zu bytes", SOCKET_PATH_SIZE - 1);
                return -ENAMETOOLONG;
        }

        if (url || socket) {
                *ret = (EndpointList){ 0 };
                endpoint_list_add(ret, socket, url);
        } else {
                EndpointPlaces places;
                endpoint_places_default(&places);
                endpoints_find(&places, ret);
        }
        return 0;
}

static int read_key_file(const char *path, char key[static KEY_MAX + 2]) {
        struct stat st;
        ssize_t n = file_read(AT_FDCWD, path, key, KEY_MAX + 2);

        if (n < 0) {
                _cleanup_free_ char *safe = terminal_escape_string(path);
                print_error("Key file %s: %s", safe, strerror((int) -n));
                return (int) n;
        }
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077)) {
                _cleanup_free_ char *safe = terminal_escape_string(path);
                print_note("Others can read the key file %s; chmod 600 it", safe);
        }
        return 0;
}

int ctl_find_key(const Options *o, char buf[static KEY_MAX + 2], const char **ret) {
        const char *key = o->key;

        if (key && o->key_file) {
                print_error("Both --key and --key-file are given: give one");
                return -EINVAL;
        }
        if (o->key_file) {
                int r = read_key_file(o->key_file, buf);
                if (r < 0)
                        return r;
                key = buf;
        } else if (!key) {
                key = environment("SANDBOXD_KEY");
        }

        if (key) {
                size_t n = strlen(key);
                bool good = n > 0 && n <= KEY_MAX;
                for (size_t i = 0; i < n; i++)
                        good = good && key[i] > ' ' && key[i] < 0x7F;
                if (!good) {
                        print_error("The key is not 1 to %u ASCII characters without white space", KEY_MAX);
                        return -EINVAL;
                }
        }
        *ret = key;
        return 0;
}

static int connect_to(const Options *o, EndpointList *endpoints, Client **ret) {
        char buf[KEY_MAX + 2];
        const char *key;
        int r;

        r = ctl_find_key(o, buf, &key);
        if (r < 0)
                return r;
        r = client_new(endpoints, key, ret);
        explicit_bzero(buf, sizeof buf);
        if (r < 0)
                print_error("Cannot set up a connection: %s", strerror(-r));
        return r;
}

int ctl_connect(Ctl *ctl) {
        _cleanup_endpoints_ EndpointList endpoints = { 0 };
        int r;

        if (ctl->client)
                return 0;
        r = find_endpoints(&ctl->options, &endpoints);
        if (r < 0)
                return r;
        return connect_to(&ctl->options, &endpoints, &ctl->client);
}

int ctl_connect_worker(Ctl *ctl, const char *socket, Client **ret) {
        _cleanup_endpoints_ EndpointList endpoints = { 0 };

        endpoint_list_add(&endpoints, socket, NULL);
        return connect_to(&ctl->options, &endpoints, ret);
}

int ctl_try(Ctl *ctl, const Call *call, Answer *ret) {
        Call c = *call;
        int r;

        r = ctl_connect(ctl);
        if (r < 0)
                return r;
        if (ctl->options.timeout != OPTION_UNSET)
                c.timeout = ctl->options.timeout;
        else if (c.timeout == 0)
                c.timeout = REQUEST_TIMEOUT;
        r = client_call(ctl->client, &c, ret);
        if (r < 0 && r != -ECANCELED)
                print_error("%s", client_error(ctl->client));
        return r;
}

int ctl_call(Ctl *ctl, const Call *call, json_t **ret) {
        _cleanup_answer_ Answer a = { 0 };
        int r;

        r = ctl_try(ctl, call, &a);
        if (r < 0)
                return r;
        if (a.status < 200 || a.status > 299) {
                _cleanup_free_ char *text = problem_text(&a);
                if (ctl->options.json && a.json)
                        print_json(a.json);
                print_error("%s", text);
                return a.status == 404 ? -ENOENT : a.status == 410 ? -EOWNERDEAD : -EREMOTEIO;
        }
        if (ret)
                *ret = take_ptr(a.json);
        return 0;
}

bool ctl_check_id(const char *id) {
        _cleanup_free_ char *safe = NULL;

        if (id_is_valid(id))
                return true;
        safe = terminal_escape_string(id);
        print_error("\"%s\" is no session id: 1 to %u of the characters a-z, 0-9 and -", safe, ID_MAX);
        return false;
}
