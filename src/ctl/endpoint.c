/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/endpoint.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/terminal.h"

void endpoint_list_clear(EndpointList *list) {
        for (size_t i = 0; i < list->n; i++) {
                free(list->items[i].socket);
                free(list->items[i].url);
        }
        free(list->items);
        *list = (EndpointList){ 0 };
}

void endpoint_list_add(EndpointList *list, const char *socket, const char *url) {
        list->items = xrealloc(list->items, (list->n + 1) * sizeof *list->items);
        list->items[list->n++] = (Endpoint){
                .socket = socket ? xstrdup(socket) : NULL,
                .url = url ? xstrdup(url) : NULL,
        };
}

const char *endpoint_name(const Endpoint *e) {
        return e->socket ?: e->url;
}

void worker_socket_list_clear(WorkerSocketList *list) {
        for (size_t i = 0; i < list->n; i++) {
                free(list->items[i].name);
                free(list->items[i].path);
        }
        free(list->items);
        *list = (WorkerSocketList){ 0 };
}

void endpoint_places_default(EndpointPlaces *ret) {
        static char xdg[256], tmp[64];
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        *ret = (EndpointPlaces){
                .coordinator = "/run/sandbox-coord.sock",
                .workers = "/run/sandboxd",
        };
        if (geteuid() == 0)
                return;

        int n = runtime && *runtime == '/' ? snprintf(xdg, sizeof xdg, "%s/sandboxd", runtime) : -1;
        if (n > 0 && (size_t) n < sizeof xdg)
                ret->user_folders[0] = xdg;
        (void) snprintf(tmp, sizeof tmp, "/tmp/sandboxd-%u", (unsigned) geteuid());
        ret->user_folders[1] = tmp;
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const WorkerSocket *) a)->name, ((const WorkerSocket *) b)->name);
}

static void find_in(const char *folder, WorkerSocketList *list) {
        size_t before = list->n;
        DIR *dir = opendir(folder);

        if (!dir)
                return;
        for (const struct dirent *d; (d = readdir(dir));) {
                size_t n = strlen(d->d_name);
                _cleanup_free_ char *name = NULL;

                if (strlen(folder) + 1 + n >= SOCKET_PATH_SIZE)
                        continue;
                if (n <= 5 || strcmp(d->d_name + n - 5, ".sock") != 0)
                        continue;
                name = xasprintf("%.*s", (int) (n - 5), d->d_name);
                if (!id_is_valid(name)) /* also leaves out NAME.spawner.sock */
                        continue;
                list->items = xrealloc(list->items, (list->n + 1) * sizeof *list->items);
                list->items[list->n++] = (WorkerSocket){
                        .path = xasprintf("%s/%s", folder, d->d_name),
                        .name = take_ptr(name),
                };
        }
        (void) closedir(dir);
        if (list->n > before)
                qsort(list->items + before, list->n - before, sizeof *list->items, by_name);
}

static bool is_own_folder(const char *path) {
        struct stat st;

        return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 022) == 0;
}

void worker_sockets_find(const EndpointPlaces *places, WorkerSocketList *ret) {
        WorkerSocketList list = { 0 };

        find_in(places->workers, &list);
        for (size_t i = 0; i < ELEMENTSOF(places->user_folders); i++)
                if (places->user_folders[i] && is_own_folder(places->user_folders[i]))
                        find_in(places->user_folders[i], &list);
        *ret = list;
}

/* The folder's only worker, or the one named worker1. */
static void add_worker_of(const char *folder, EndpointList *list) {
        _cleanup_worker_sockets_ WorkerSocketList found = { 0 };
        size_t pick = 0;

        find_in(folder, &found);
        if (found.n == 0)
                return;
        if (found.n > 1)
                while (pick < found.n && strcmp(found.items[pick].name, "worker1") != 0)
                        pick++;
        if (pick < found.n)
                endpoint_list_add(list, found.items[pick].path, NULL);
}

void endpoints_find(const EndpointPlaces *places, EndpointList *ret) {
        EndpointList list = { 0 };

        if (access(places->coordinator, F_OK) == 0)
                endpoint_list_add(&list, places->coordinator, NULL);
        add_worker_of(places->workers, &list);
        for (size_t i = 0; i < ELEMENTSOF(places->user_folders); i++)
                if (places->user_folders[i] && is_own_folder(places->user_folders[i]))
                        add_worker_of(places->user_folders[i], &list);
        endpoint_list_add(&list, NULL, "http://127.0.0.1:8000");
        endpoint_list_add(&list, NULL, "http://127.0.0.1:5000");
        *ret = list;
}
