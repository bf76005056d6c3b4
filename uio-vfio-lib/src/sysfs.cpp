// SPDX-License-Identifier: MIT
#include "uiovfio/sysfs.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "file_descriptor.hpp"
#include "guarded.hpp"
#include "kernel_text.hpp"
#include "reserved_regions.hpp"
#include "sysfs_files.hpp"
#include "text.hpp"

namespace uiovfio {

namespace fs = std::filesystem;

namespace detail {

std::optional<std::string> read_text(const fs::path& file, std::size_t limit) {
    std::ifstream in{file};
    if (!in) return std::nullopt;
    std::string result;
    std::array<char, 4096> piece;
    while (result.size() < limit && (in.read(piece.data(), piece.size()), in.gcount() > 0))
        result.append(piece.data(), std::min(static_cast<std::size_t>(in.gcount()), limit - result.size()));
    result.erase(result.find_last_not_of(" \t\r\n") + 1);
    return result;
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code error;
    // A folder of the kernel's may change while it is read: then what was seen is the answer.
    for (fs::directory_iterator entry{folder, error}; !error && entry != fs::directory_iterator{};
         entry.increment(error))
        names.push_back(entry->path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::string link_name(const fs::path& link) {
    std::error_code none;
    return fs::read_symlink(link, none).filename().string();
}

namespace {

std::function<int(const fs::path&, std::string_view)>& write_replacement() {
    static std::function<int(const fs::path&, std::string_view)> replacement;
    return replacement;
}

std::function<int(const fs::path&)>& open_replacement() {
    static std::function<int(const fs::path&)> replacement;
    return replacement;
}

std::function<int(const fs::path&)>& claim_replacement() {
    static std::function<int(const fs::path&)> replacement;
    return replacement;
}

}  // namespace

int write_text(const fs::path& file, std::string_view text) {
    if (write_replacement()) return write_replacement()(file, text);
    const FileDescriptor out{::open(file.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!out) return errno;
    const auto written = ::write(out.get(), text.data(), text.size());
    if (written < 0) return errno;
    return static_cast<std::size_t>(written) == text.size() ? 0 : EIO;
}

void replace_write_text(std::function<int(const fs::path&, std::string_view)> replacement) {
    write_replacement() = std::move(replacement);
}

int try_open(const fs::path& node) {
    if (open_replacement()) return open_replacement()(node);
    const FileDescriptor file{::open(node.c_str(), O_RDWR | O_CLOEXEC)};
    return file ? 0 : errno;
}

void replace_try_open(std::function<int(const fs::path&)> replacement) { open_replacement() = std::move(replacement); }

int try_claim(const fs::path& node, const std::string& number) {
    if (claim_replacement()) return claim_replacement()(node);
    struct stat status{};
    if (::stat(node.c_str(), &status) != 0) return errno;
    if (!S_ISBLK(status.st_mode) ||
        std::to_string(major(status.st_rdev)) + ':' + std::to_string(minor(status.st_rdev)) != number)
        return ENODEV;
    // A drive without a medium, or one that sleeps, is not waited for.
    const FileDescriptor file{::open(node.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC)};
    return file ? 0 : errno;
}

void replace_try_claim(std::function<int(const fs::path&)> replacement) {
    claim_replacement() = std::move(replacement);
}

std::string command_of(const std::string& process, const SysfsRoot& root) {
    std::string command = read_text(root.proc / process / "comm").value_or("");
    for (char& c : command)
        if (c < ' ' || c == 0x7f) c = '?';
    return command;
}

}  // namespace detail

namespace {

// Bits of the flags in the file "resource" (the kernel's include/linux/ioport.h).
constexpr std::uint64_t kResourceIo = 0x100;
constexpr std::uint64_t kResourceMemory = 0x200;
constexpr std::uint64_t kResourcePrefetch = 0x2000;
constexpr std::uint64_t kResource64Bit = 0x100000;

template <class Number>
std::optional<Number> parse_number(std::string_view text, int base) {
    if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return value;
}

template <class Number>
Number hex_file(const fs::path& file) {
    return parse_number<Number>(detail::read_text(file).value_or(""), 16).value_or(Number{});
}

/// What a line of the file "resource" tells: three numbers, and nothing else.
std::optional<PciResource> parse_resource(unsigned index, const std::string& line) {
    std::istringstream words{line};
    std::string first;
    std::string last;
    std::string flags;
    std::string more;
    if (!(words >> first >> last >> flags) || words >> more) return std::nullopt;
    const auto begin = parse_number<std::uint64_t>(first, 16);
    const auto end = parse_number<std::uint64_t>(last, 16);
    const auto bits = parse_number<std::uint64_t>(flags, 16);
    if (!begin || !end || !bits || (*bits & (kResourceIo | kResourceMemory)) == 0) return std::nullopt;
    // All of the 64-bit space has a size that no number holds.
    if (*end < *begin || *end - *begin == ~std::uint64_t{0}) return std::nullopt;
    return PciResource{.index = index,
                       .address = *begin,
                       .size = *end - *begin + 1,
                       .is_io = (*bits & kResourceIo) != 0,
                       .is_64bit = (*bits & kResource64Bit) != 0,
                       .is_prefetchable = (*bits & kResourcePrefetch) != 0};
}

/// Those of the BARs: the first six lines, whatever each of them holds.
std::vector<PciResource> resources_of(const fs::path& directory) {
    std::vector<PciResource> found;
    std::istringstream lines{detail::read_text(directory / "resource").value_or("")};
    std::string line;
    for (unsigned index = 0; index < 6 && std::getline(lines, line); ++index)
        if (const auto resource = parse_resource(index, line)) found.push_back(*resource);
    return found;
}

/// Whether its header is of type 1 or 2, which is what the kernel asks for; the class may say bridge of what has an
/// ordinary header (host and ISA bridges).
bool has_bridge_header(const fs::path& directory, std::uint32_t class_code) {
    constexpr std::size_t kHeaderType = 0x0e;
    std::ifstream config{directory / "config", std::ios::binary};
    config.seekg(kHeaderType);
    if (const int type = config.get(); config && type != 0xff) return (type & 0x7f) != 0;
    constexpr std::uint32_t kPciToPci = 0x0604;
    constexpr std::uint32_t kCardBus = 0x0607;
    return class_code >> 8 == kPciToPci || class_code >> 8 == kCardBus;
}

std::vector<Bdf> members_of(const fs::path& group) {
    std::vector<Bdf> found;
    for (const std::string& name : detail::names_in(group / "devices"))
        if (const auto bdf = Bdf::try_parse(name)) found.push_back(*bdf);
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

PciFunction describe(const Bdf& bdf, const SysfsRoot& root) {
    const fs::path directory = detail::device_directory(root, bdf);
    std::error_code none;
    if (!fs::exists(directory / "vendor", none))
        throw Error{Errc::no_such_device, to_string(bdf), "there is no PCI function at this address"};
    PciFunction function;
    function.bdf = bdf;
    function.vendor = hex_file<std::uint16_t>(directory / "vendor");
    function.device = hex_file<std::uint16_t>(directory / "device");
    function.subsystem_vendor = hex_file<std::uint16_t>(directory / "subsystem_vendor");
    function.subsystem_device = hex_file<std::uint16_t>(directory / "subsystem_device");
    constexpr std::uint32_t kWidestClass = 0xffffff;
    if (const auto code = hex_file<std::uint32_t>(directory / "class"); code <= kWidestClass)
        function.class_code = code;
    function.revision = hex_file<std::uint8_t>(directory / "revision");
    function.driver = detail::link_name(directory / "driver");
    const auto override_text = detail::read_text(directory / "driver_override").value_or("");
    if (override_text != "(null)") function.driver_override = override_text;
    function.iommu_group = parse_number<unsigned>(detail::link_name(directory / "iommu_group"), 10);
    if (function.iommu_group) {
        // drivers/vfio/group.c, vfio_noiommu_group_alloc().
        function.is_behind_iommu = detail::read_text(directory / "iommu_group/name") != "vfio-noiommu";
        function.group_members = members_of(directory / "iommu_group");
        function.reserved_regions =
            detail::parse_reserved_regions(detail::read_text(directory / "iommu_group/reserved_regions").value_or(""));
    }
    const auto node = parse_number<int>(detail::read_text(directory / "numa_node").value_or(""), 10);
    if (node && *node >= 0) function.numa_node = node;
    function.resources = resources_of(directory);
    function.is_bridge = has_bridge_header(directory, function.class_code);
    return function;
}

PciFunction describe(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return describe(bdf, root); });
}

std::vector<PciFunction> enumerate(const SysfsRoot& root) {
    const fs::path directory = root.sys / "bus/pci/devices";
    std::error_code error;
    std::vector<Bdf> addresses;
    for (const auto& entry : fs::directory_iterator{directory, error})
        if (const auto bdf = Bdf::try_parse(entry.path().filename().string())) addresses.push_back(*bdf);
    if (error)
        throw Error{Errc::system_error, directory.string(), "cannot list the PCI bus", error.value(),
                    "mount sysfs, or see whether the machine has a PCI bus at all"};
    std::sort(addresses.begin(), addresses.end());
    std::vector<PciFunction> functions;
    for (const Bdf& bdf : addresses) {
        std::error_code unplugged;  // between listing and reading
        auto function = describe(bdf, root, unplugged);
        if (!unplugged) functions.push_back(std::move(function));
    }
    return functions;
}

std::vector<PciFunction> enumerate(const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return enumerate(root); });
}

namespace {

/// The function nearest above a place in sysfs's tree.
std::optional<Bdf> function_above(const fs::path& place) {
    std::optional<Bdf> found;
    std::error_code none;
    for (const fs::path& component : fs::canonical(place, none))
        if (const auto bdf = Bdf::try_parse(component.string())) found = bdf;
    return found;
}

/// The function of the entries of that name in all classes; nothing if they are of several: "card0" is a name of
/// graphics cards and of sound cards.
std::optional<Bdf> function_of_class_entry(const std::string& name, const SysfsRoot& root) {
    std::set<Bdf> found;
    for (const std::string& kind : detail::names_in(root.sys / "class"))
        if (const auto one = function_above(root.sys / "class" / kind / name)) found.insert(*one);
    return found.size() == 1 ? std::optional{*found.begin()} : std::nullopt;
}

}  // namespace

std::optional<Bdf> function_behind(std::string_view name, const SysfsRoot& root) noexcept {
    std::error_code lost;
    return detail::guarded(lost, [&]() -> std::optional<Bdf> {
        if (name.empty()) return std::nullopt;
        fs::path path{name};
        if (name.starts_with("/dev/")) {
            std::error_code none;
            const fs::path real = fs::canonical(root.dev / name.substr(5), none);
            path = none ? path.filename() : real.filename();
        } else if (path.has_parent_path()) {
            return function_above(path);
        }
        return detail::is_name(path.string()) ? function_of_class_entry(path, root) : std::nullopt;
    });
}

PciFunction find_function(std::string_view selector, const SysfsRoot& root) {
    const auto colon = selector.find(':');
    const bool is_ids = selector.find('.') == std::string_view::npos && colon != std::string_view::npos;
    if (!is_ids) {
        if (const auto bdf = Bdf::try_parse(selector)) return describe(*bdf, root);
        if (const auto meant = function_behind(selector, root))
            throw Error{Errc::invalid_bdf, fmt::format("\"{}\"", selector),
                        fmt::format("is of {}, and not its address", to_string(*meant)), 0,
                        fmt::format("give {}", to_string(*meant))};
        throw Error{Errc::invalid_bdf, fmt::format("\"{}\"", selector)};
    }

    const auto vendor = parse_number<std::uint16_t>(selector.substr(0, colon), 16);
    const auto device = parse_number<std::uint16_t>(selector.substr(colon + 1), 16);
    if (!vendor || !device)
        throw Error{Errc::invalid_bdf, fmt::format("\"{}\"", selector), "neither an address nor VENDOR:DEVICE", 0,
                    "write 0000:01:00.0 or 1af4:10f2"};
    std::vector<PciFunction> matches;
    for (PciFunction& function : enumerate(root))
        if (function.vendor == *vendor && function.device == *device) matches.push_back(std::move(function));
    if (matches.empty())
        throw Error{Errc::no_such_device, std::string{selector}, "no PCI function has this vendor and device"};
    if (matches.size() > 1) {
        std::vector<std::string> candidates;
        candidates.reserve(matches.size());
        for (const PciFunction& match : matches) candidates.push_back(to_string(match.bdf));
        throw Error{Errc::ambiguous_device, std::string{selector},
                    fmt::format("{} PCI functions match: {}", matches.size(), detail::join(candidates))};
    }
    return matches.front();
}

PciFunction find_function(std::string_view selector, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return find_function(selector, root); });
}

}  // namespace uiovfio
