/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/answer.h"

#include <string.h>
#include <strings.h>

#define CHUNK_LINE_MAX 256U
#define LENGTH_DIGITS_MAX 18U /* fits in 63 bits */
#define CHUNK_DIGITS_MAX 12U
#define PREFIX "HTTP/1."

void answer_begin(Answer *a, bool is_head) {
        char *line = a->line;
        size_t size = a->line_size;

        *a = (Answer){ .is_head = is_head, .line = line, .line_size = size };
}

void answer_end(Answer *a) {
        free(a->line);
        *a = (Answer){ 0 };
}

/* --- lines --- */

static int keep_part(Answer *a, const char *data, size_t size) {
        size_t wanted = a->line_used + size;

        if (wanted > ANSWER_LINE_MAX)
                return -EPROTO;
        if (wanted > a->line_size) {
                size_t n = MAX(wanted, MAX(2 * a->line_size, (size_t) 256));
                char *p = realloc(a->line, n);
                if (!p)
                        return -ENOMEM;
                a->line = p;
                a->line_size = n;
        }
        memcpy(a->line + a->line_used, data, size);
        a->line_used = wanted;
        return 0;
}

/* Returns 1 when a line is complete, 0 when more is needed, or -errno. */
static int read_line(Answer *a, const char **data, size_t *size, const char **ret, size_t *ret_size) {
        const char *start = *data, *end = memchr(start, '\n', *size);
        size_t n = end ? (size_t) (end + 1 - start) : *size;
        int r = 0;

        a->n_lines += n;
        if (n > ANSWER_LINE_MAX || a->n_lines > ANSWER_LINES_MAX)
                return -EPROTO;
        if (!end || a->line_used > 0)
                r = keep_part(a, start, n);
        if (r < 0)
                return r;
        *data += n;
        *size -= n;
        if (!end)
                return 0;
        if (a->line_used > 0) {
                start = a->line;
                n = a->line_used;
                a->line_used = 0;
        }
        if (n < 2 || start[n - 2] != '\r')
                return -EPROTO;
        *ret = start;
        *ret_size = n - 2;
        return 1;
}

/* What cannot become a status line is told at once, not at the end of the line. */
static bool may_be_status(const Answer *a) {
        return memcmp(a->line, PREFIX, MIN(a->line_used, strlen(PREFIX))) == 0;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static int read_status(Answer *a, const char *line, size_t size) {
        if (size < 12 || memcmp(line, PREFIX, strlen(PREFIX)) != 0 || (line[7] != '0' && line[7] != '1') ||
                line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
                (size > 12 && line[12] != ' '))
                return -EPROTO;
        a->status = (unsigned) ((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
        if (a->status < 100 || a->status > 599 || a->status == 101)
                return -EPROTO;
        a->is_old = line[7] == '0';
        a->keeps = !a->is_old;
        a->state = a->status < 200 ? ANSWER_INTERIM : ANSWER_HEADERS;
        return 0;
}

static bool is_name(const char *line, size_t size, const char *name) {
        return size == strlen(name) && strncasecmp(line, name, size) == 0;
}

static bool has_token(const char *list, size_t size, const char *token) {
        for (size_t i = 0, n; i < size; i += n + 1) {
                n = 0;
                while (i + n < size && list[i + n] != ',')
                        n++;
                size_t from = i, to = i + n;
                while (from < to && (list[from] == ' ' || list[from] == '\t'))
                        from++;
                while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t'))
                        to--;
                if (is_name(list + from, to - from, token))
                        return true;
        }
        return false;
}

static int read_length(Answer *a, const char *text, size_t size) {
        uint64_t n = 0;

        if (a->has_length || size == 0 || size > LENGTH_DIGITS_MAX)
                return -EPROTO;
        for (size_t i = 0; i < size; i++) {
                if (!is_digit(text[i]))
                        return -EPROTO;
                n = 10 * n + (uint64_t) (text[i] - '0');
        }
        a->has_length = true;
        a->length = n;
        return 0;
}

/* The lines that say where the answer ends. */
static int read_header(Answer *a, const char *line, size_t size) {
        const char *colon = memchr(line, ':', size), *value, *end = line + size;

        if (!colon)
                return -EPROTO;
        size_t name = (size_t) (colon - line);
        for (value = colon + 1; value < end && (*value == ' ' || *value == '\t');)
                value++;
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        size_t length = (size_t) (end - value);
        if (is_name(line, name, "Content-Length"))
                return read_length(a, value, length);
        if (is_name(line, name, "Transfer-Encoding")) {
                if (a->chunked || !is_name(value, length, "chunked"))
                        return -EPROTO;
                a->chunked = true;
        } else if (is_name(line, name, "Connection") && has_token(value, length, "close"))
                a->keeps = false;
        return 0;
}

/* The head is complete: what comes next? */
static int begin_body(Answer *a) {
        if (a->chunked && (a->has_length || a->is_old))
                return -EPROTO;
        if (a->is_head || a->status == 204 || a->status == 304)
                a->state = ANSWER_OVER;
        else if (a->chunked)
                a->state = ANSWER_CHUNK_SIZE;
        else if (a->has_length) {
                a->left = a->length;
                a->state = a->left > 0 ? ANSWER_BODY : ANSWER_OVER;
        } else {
                a->keeps = false;
                a->state = ANSWER_BODY_TO_END;
        }
        return ANSWER_HEAD;
}

static int read_chunk_size(Answer *a, const char *line, size_t size) {
        uint64_t n = 0;
        size_t i = 0;

        for (; i < size; i++) {
                char c = line[i];
                unsigned digit = is_digit(c)              ? (unsigned) (c - '0')
                                 : (c >= 'a' && c <= 'f') ? (unsigned) (c - 'a') + 10U
                                 : (c >= 'A' && c <= 'F') ? (unsigned) (c - 'A') + 10U
                                                          : 16U;
                if (digit == 16)
                        break;
                n = n << 4 | digit;
        }
        /* what may follow it, behind a semicolon, is of no use here */
        if (i == 0 || i > CHUNK_DIGITS_MAX || size > CHUNK_LINE_MAX ||
                (i < size && line[i] != ';' && line[i] != ' ' && line[i] != '\t'))
                return -EPROTO;
        a->left = n;
        a->state = n > 0 ? ANSWER_CHUNK : ANSWER_TRAILERS;
        return 0;
}

/* Returns an event, 0 when the next line is to be read, or -errno. */
static int take_line(Answer *a, const char *line, size_t size) {
        int r;

        switch (a->state) {
        case ANSWER_STATUS_LINE:
                return read_status(a, line, size);
        case ANSWER_INTERIM:
                if (size == 0)
                        a->state = ANSWER_STATUS_LINE;
                return 0;
        case ANSWER_HEADERS:
                if (size == 0)
                        return begin_body(a);
                r = read_header(a, line, size);
                return r < 0 ? r : ANSWER_HEADER;
        case ANSWER_CHUNK_SIZE:
                a->n_lines -= size + 2; /* a body may have any number */
                return read_chunk_size(a, line, size);
        case ANSWER_CHUNK_END:
                a->n_lines -= size + 2;
                a->state = ANSWER_CHUNK_SIZE;
                return size == 0 ? 0 : -EPROTO;
        default:
                assert(a->state == ANSWER_TRAILERS);
                if (size == 0)
                        a->state = ANSWER_OVER;
                return 0;
        }
}

/* --- all of it --- */

int answer_read(Answer *a, const char **data, size_t *size, const char **ret, size_t *ret_size) {
        while (a->state != ANSWER_OVER) {
                if (*size == 0)
                        return ANSWER_MORE;
                size_t before = *size;
                if (a->state == ANSWER_BODY || a->state == ANSWER_CHUNK || a->state == ANSWER_BODY_TO_END) {
                        *ret = *data;
                        *ret_size = a->state == ANSWER_BODY_TO_END ? before : (size_t) MIN(a->left, (uint64_t) before);
                        *data += *ret_size;
                        *size -= *ret_size;
                        a->n_read += *ret_size;
                        if (a->state != ANSWER_BODY_TO_END && (a->left -= *ret_size) == 0)
                                a->state = a->state == ANSWER_BODY ? ANSWER_OVER : ANSWER_CHUNK_END;
                        return ANSWER_DATA;
                }
                int r = read_line(a, data, size, ret, ret_size);
                a->n_read += before - *size;
                if (r == 0)
                        return a->state != ANSWER_STATUS_LINE || may_be_status(a) ? ANSWER_MORE : -EPROTO;
                if (r > 0)
                        r = take_line(a, *ret, *ret_size);
                if (r != 0)
                        return r;
        }
        return ANSWER_END;
}

void answer_unread(Answer *a, size_t size) {
        a->n_read -= size;
        if (a->state == ANSWER_BODY_TO_END)
                return;
        a->left += size;
        if (a->state == ANSWER_OVER)
                a->state = ANSWER_BODY;
        else if (a->state == ANSWER_CHUNK_END)
                a->state = ANSWER_CHUNK;
}

int answer_close(Answer *a) {
        if (a->state == ANSWER_BODY_TO_END) {
                a->state = ANSWER_OVER;
                return 0;
        }
        return a->state == ANSWER_STATUS_LINE && a->n_read > 0 ? -EPROTO : -ECONNRESET;
}
