// SPDX-License-Identifier: GPL-2.0-or-later
/// The lspci of this machine, asked about machines that never were. PCIENIC_LSPCI names another lspci: the words of
/// each release that matters can be compared on one machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace pcienic::test {

/// "3.9.0"; empty if there is no lspci here.
std::string lspci_version();

/// Whether its words are those of lspci 3.9, which are ours: then a listing is compared letter by letter.
bool lspci_speaks_3_9();

/// Adds a function to a dump as `lspci -x` writes it. `index` makes its address: 256 functions a bus, up to 65536.
/// `bytes` is configuration space as far as it can be read.
void write_dump(std::ostream& out, unsigned index, const std::vector<std::uint8_t>& bytes);

/// The address that write_dump() gives to the function of that index.
std::string dump_address(unsigned index);

/// What a command prints on standard output.
std::string output_of(const std::string& command);

/// The command that runs it.
std::string lspci_command();

/// What lspci prints about a dump.
std::string lspci_on(const std::filesystem::path& dump, const std::string& options);

/// What lspci prints about the machine whose tree lies in `sys` instead of /sys.
std::string lspci_on_sysfs(const std::filesystem::path& sys, const std::string& options);

/// A listing taken apart: each function's text, from its heading to the empty line behind it.
std::vector<std::string> functions_of(const std::string& listing);

}  // namespace pcienic::test
