/* The adapter of a port in C: answers the conformance suite of ToM/1, one JSON object a line.
 * It is a beginning: the smoke level passes, the rest says "unsupported". Replace each part by calls of your port.
 * The few functions for JSON read what the suite writes; they trust its form. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 4096 /* bytes of a value in this beginning */

static FILE *replies;

/* --- JSON --------------------------------------------------------------------------------------------- */

/* The first character behind a value. */
static const char *behind(const char *at) {
    if (*at == '"') {
        for (at++; *at && *at != '"'; at++)
            if (*at == '\\') at++;
        return at + 1;
    }
    if (*at == '{' || *at == '[') {
        int depth = 0;
        do {
            if (*at == '"') { at = behind(at); continue; }
            if (*at == '{' || *at == '[') depth++;
            if (*at == '}' || *at == ']') depth--;
            at++;
        } while (depth && *at);
        return at;
    }
    while (*at && !strchr(",]}", *at)) at++;
    return at;
}

/* The value of a member of an object, or NULL. */
static const char *member(const char *object, const char *name) {
    if (!object || *object != '{') return NULL;
    size_t length = strlen(name);
    for (const char *at = object + 1; *at == '"';) {
        const char *value = behind(at) + 1;
        if (!strncmp(at + 1, name, length) && at[1 + length] == '"') return value;
        at = behind(value);
        if (*at == ',') at++;
    }
    return NULL;
}

static int is(const char *value, const char *text) {
    size_t length = strlen(text);
    return value && *value == '"' && !strncmp(value + 1, text, length) && value[1 + length] == '"';
}

/* The bytes of a hexadecimal text; their count, or -1. */
static long unhex(const char *value, uint8_t *bytes) {
    long count = 0;
    if (!value || *value++ != '"') return -1;
    for (; *value && *value != '"'; value += 2, count++) {
        unsigned byte;
        if (count == MOST || sscanf(value, "%2x", &byte) != 1) return -1;
        bytes[count] = (uint8_t)byte;
    }
    return count;
}

static void put_hex(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) fprintf(replies, "%02x", bytes[i]);
}

/* --- the port ------------------------------------------------------------------------------------------- */

static void reject(const char *code) { fprintf(replies, "\"reject\":{\"code\":\"%s\"}", code); }
static void unsupported(void) { fprintf(replies, "\"unsupported\":{\"reason\":\"not yet\"}"); }

static void decode(const char *p) {
    uint8_t data[MOST];
    long count = unhex(member(p, "bytes"), data);
    if (!is(member(p, "format"), "frame") || count < 0) { unsupported(); return; }
    if (count == 0) { reject("truncated"); return; }
    long size = data[0] == 0x05 ? 33 : data[0] == 0x0b ? 41 : 0;
    if (!size) { unsupported(); return; }
    if (count < size) { reject("truncated"); return; }
    if (count > size) { reject("trailing_bytes"); return; }
    if (data[0] == 0x05) {
        fprintf(replies, "\"ok\":{\"value\":{\"is\":\"DescriptorQuery\",\"node_id\":\"");
        put_hex(data + 1, 32);
        fprintf(replies, "\"}}");
        return;
    }
    uint64_t term = 0;
    for (int i = 33; i < 41; i++) term = term << 8 | data[i];
    const char *quote = term >> 53 ? "\"" : ""; /* integers of 2^53 and more are decimal strings */
    fprintf(replies, "\"ok\":{\"value\":{\"is\":\"RecordQuery\",\"subnet\":\"");
    put_hex(data + 1, 32);
    fprintf(replies, "\",\"term\":%s%" PRIu64 "%s}}", quote, term, quote);
}

static void encode(const char *p) {
    const char *value = member(p, "value");
    uint8_t bytes[MOST];
    if (!is(member(p, "format"), "frame")) { unsupported(); return; }
    if (is(member(value, "is"), "DescriptorQuery") && unhex(member(value, "node_id"), bytes) == 32) {
        fprintf(replies, "\"ok\":{\"bytes\":\"05");
        put_hex(bytes, 32);
        fprintf(replies, "\"}");
    } else if (is(member(value, "is"), "RecordQuery") && unhex(member(value, "subnet"), bytes) == 32) {
        const char *digits = member(value, "term");
        uint64_t term = strtoull(*digits == '"' ? digits + 1 : digits, NULL, 10);
        fprintf(replies, "\"ok\":{\"bytes\":\"0b");
        put_hex(bytes, 32);
        fprintf(replies, "%016" PRIx64 "\"}", term);
    } else {
        unsupported();
    }
}

static void labelled(const char *p) {
    const char *label = member(p, "label");
    const char *part = member(p, "parts") + 1;
    size_t length = (size_t)(behind(label) - label) - 2;
    uint8_t bytes[MOST];
    fprintf(replies, "\"ok\":{\"encoded\":\"%02zx", length);
    put_hex((const uint8_t *)label + 1, length);
    while (*part == '"') {
        long count = unhex(part, bytes);
        if (count < 0) count = 0;
        fprintf(replies, "%08lx", count);
        put_hex(bytes, (size_t)count);
        part = behind(part);
        if (*part == ',') part++;
    }
    fprintf(replies, "\"}");
}

static void hello(void) {
    fprintf(replies,
            "\"ok\":{\"spec\":\"ToM/1\",\"levels\":[0],"
            "\"features\":[\"codec.*\",\"crypto.labelled\",\"hello\",\"reset\"],\"limits\":{},"
            "\"port\":{\"name\":\"my port\",\"version\":\"0\",\"commit\":\"\"}}");
}

int main(void) {
    /* Stray prints must not reach standard output, which is for replies alone. */
    replies = fdopen(dup(1), "w");
    if (!replies || dup2(2, 1) < 0) return 1;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        const char *id = member(line, "id"), *cmd = member(line, "cmd"), *p = member(line, "p");
        if (!id || !cmd || !p) return 1;
        fprintf(replies, "{\"id\":%.*s,", (int)(behind(id) - id), id);
        if (is(cmd, "hello")) hello();
        else if (is(cmd, "reset") || is(cmd, "bye")) fprintf(replies, "\"ok\":{}");
        else if (is(cmd, "codec.decode")) decode(p);
        else if (is(cmd, "codec.encode")) encode(p);
        else if (is(cmd, "crypto.labelled")) labelled(p);
        else unsupported();
        fprintf(replies, "}\n");
        fflush(replies);
        if (is(cmd, "bye")) break;
    }
    free(line);
    return 0;
}
