/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <stdio.h>
#include <string.h>

/* gen-drivers FILE...: prints each as an array of characters, driver_<stem>, ended by NUL. */

static void print(const char *path) {
        const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        FILE *f = fopen(path, "re");
        int c, n = 0;

        if (!f)
                err(1, "%s", path);
        (void) printf("static const char driver_%.*s[] = {", (int) strcspn(name, "."), name);
        while ((c = fgetc(f)) != EOF)
                (void) printf("%s%d,", n++ % 32 ? "" : "\n", c < 128 ? c : c - 256);
        (void) printf("0\n};\n");
        if (ferror(f))
                errx(1, "%s: cannot be read", path);
        (void) fclose(f);
}

int main(int argc, char *argv[]) {
        for (int i = 1; i < argc; i++)
                print(argv[i]);
        return fflush(stdout) == 0 ? 0 : 1;
}
