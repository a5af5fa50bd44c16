/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/api.h"

void http_image_list(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;

        http_answer_json(r, 200, api->images ? images_describe(api->images) : json_pack("{s[]}", "images"));
}
