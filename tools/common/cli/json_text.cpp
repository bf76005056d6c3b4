// SPDX-License-Identifier: MIT
#include "cli/json_text.hpp"

namespace pcienic::cli {

std::string json_text(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pcienic::cli
