// SPDX-License-Identifier: GPL-2.0-or-later
/// The model as text in lspci's form, as JSON, and as a tree.
#pragma once

#include <nlohmann/json.hpp>

#include <iosfwd>
#include <vector>

#include "model.hpp"

namespace pcienic::ls {

struct TextOptions {
    int verbosity = 0;         ///< -v
    int hex = 0;               ///< -x: 64 bytes; 3: 256; 4: 4096
    bool kernel = false;       ///< -k
    bool domains = false;      ///< -D
    int machine_readable = 0;  ///< -m; 2: -mm
    int path = 0;              ///< -P: the bridges that lead to it by device and function; 2: -PP: by bus, too
};

void render_text(std::ostream& out, const Function& function, const TextOptions& options);

/// What scripts read: one line of quoted words a function, or with -v one "KEY:<tab>VALUE" a line.
void render_machine(std::ostream& out, const Function& function, const TextOptions& options);

/// The bytes that were asked for, sixteen a line.
void render_hex(std::ostream& out, const Function& function, int hex);

/// One element of "data" in schema pcienic.ls/1. Everything that was decoded is in it; `hex` bytes of configuration
/// space as one string.
nlohmann::ordered_json render_json(const Function& function, int hex);

/// lspci's -t: which device sits behind which bridge.
void render_tree(std::ostream& out, const Listing& listing, const TextOptions& options);

/// "01:00.0", with the domain where asked for or not zero.
std::string address_text(const Address& address, bool domains);

/// The same of a function, or the path that leads to it if that is asked for: "00:1c.0/00.0", "00:1c.0/01:00.0".
std::string place_text(const Function& function, const TextOptions& options);

/// The bytes that -x, -xxx or -xxxx shows of what could be read.
std::size_t hex_bytes(const Function& function, int hex);

}  // namespace pcienic::ls
