// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What bind, restore and `with` have in common: which functions, what keeps them where they are, what would be done.

#include <string>
#include <vector>

#include "operation.hpp"
#include "uiovfio/bind.hpp"

namespace pcienic::ctl {

/// The functions that the command line names, and with `group` the other members of their IOMMU groups, each once.
std::vector<uiovfio::Bdf> functions_to_bind(Session& session, bool group);

/// What binding these would do, as rows and as text.
cli::Document plan_document(const std::vector<uiovfio::Bdf>& functions, const std::string& driver,
                            const uiovfio::SysfsRoot& root);

/// Who gets a device that is unbound.
enum class Givee { former, none };

/// What restoring these, or leaving them without a driver, would do.
cli::Document restore_plan_document(const std::vector<uiovfio::Bdf>& functions, Givee givee,
                                    const uiovfio::SysfsRoot& root);

/// The processes that have it open.
cli::Json holders_json(const uiovfio::Bdf& bdf, const uiovfio::SysfsRoot& root);

/// "no driver" for an empty name.
std::string driver_text(const std::string& driver);

/// Null for an empty name.
cli::Json driver_json(const std::string& driver);

}  // namespace pcienic::ctl
